// npm's oidc-provider as one process on node's own server: `node oidc_provider.mjs SOCKET_FD PORT ID SECRET`.
// What it keeps is in the adapter that it ships, in the memory of the process: the cheapest there is.
import { createServer } from "node:http";
import Provider from "oidc-provider";

const [fd, port, id, secret] = process.argv.slice(2);
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: id,
      client_secret: secret,
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: "client_secret_basic",
    },
  ],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true, allowedPolicy: () => true },
  },
  scopes: ["read"],
  ttl: { ClientCredentials: 3600 }, // no token of the run expires during it
});
createServer(provider.callback()).listen({ fd: Number(fd) });

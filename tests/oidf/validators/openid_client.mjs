// openid-client, as a website uses it: all that it checks of a provider is checked.
import './platform.mjs'
import * as client from 'openid-client'
import { checkLogoutToken } from './logout_token.mjs'
import { fails, importKey, logOut, run, send } from './talk.mjs'

const PROOFS = {
  client_secret_basic: client.ClientSecretBasic,
  client_secret_post: client.ClientSecretPost,
  none: client.None,
  private_key_jwt: client.PrivateKeyJwt,
}

await run(async ({ issuer, redirect_uri, logged_out, client_id, client_secret, algorithm, method, mode, jwk }) => {
  const key = jwk && (await importKey(jwk))
  const settings = {
    client_secret, id_token_signed_response_alg: algorithm, introspection_signed_response_alg: algorithm,
  }
  const config = await client.discovery(new URL(issuer), client_id, settings, PROOFS[method](key ?? client_secret))
  client.enableNonRepudiationChecks(config)
  const isConfidential = method !== 'none'

  // Who has a key signs, and pushes too.
  async function sign(asked) {
    return key ? client.buildAuthorizationUrlWithJAR(config, asked, key) : client.buildAuthorizationUrl(config, asked)
  }
  async function push(asked) {
    const url = await sign(asked)
    return key ? client.buildAuthorizationUrlWithPAR(config, url.searchParams) : url
  }

  async function authorize(more, build = push) {
    const pkceCodeVerifier = client.randomPKCECodeVerifier()
    const checks = { pkceCodeVerifier, expectedState: client.randomState(), expectedNonce: client.randomNonce() }
    const asked = {
      redirect_uri,
      state: checks.expectedState,
      nonce: checks.expectedNonce,
      code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
      code_challenge_method: 'S256',
      ...(mode === 'query' ? {} : { response_mode: mode }),
      ...more,
    }
    return [await send(await build(asked), asked.state), { ...checks, maxAge: Number(more.max_age), idTokenExpected: true }]
  }

  const [came, checks] = await authorize({ scope: 'openid email offline_access', prompt: 'consent', max_age: '3600' })
  const again = came.clone()
  const tokens = await client.authorizationCodeGrant(config, came, checks)
  const { sub, sid, email } = tokens.claims()
  const told = await client.fetchUserInfo(config, tokens.access_token, sub)
  const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token)
  await client.fetchUserInfo(config, refreshed.access_token, refreshed.claims().sub)

  if (isConfidential) {
    const { active } = await client.tokenIntrospection(config, refreshed.access_token)
    await client.tokenRevocation(config, refreshed.access_token)
    const after = await client.tokenIntrospection(config, refreshed.access_token)
    if (!active || after.active) throw new Error('it lives when it is dead')
    const own = await client.clientCredentialsGrant(config, { scope: 'read' })
    if (own.scope !== 'read') throw new Error('another scope')
  } else {
    await client.tokenRevocation(config, refreshed.access_token)
  }
  await fails(client.authorizationCodeGrant(config, again, checks), 'ResponseBodyError', 'invalid_grant')
  await fails(client.refreshTokenGrant(config, refreshed.refresh_token), 'ResponseBodyError', 'invalid_grant')

  const [refused, theirs] = await authorize({ scope: 'openid admin', max_age: '3600' }, sign)
  const error = 'AuthorizationResponseError'
  await fails(client.authorizationCodeGrant(config, refused, theirs), error, 'invalid_scope')

  const state = client.randomState()
  const asked = { post_logout_redirect_uri: logged_out, id_token_hint: tokens.id_token, state }
  const left = await logOut(client.buildEndSessionUrl(config, asked))
  if (left.url !== `${logged_out}?state=${state}`) throw new Error(`out, and at ${left.url}`)
  await checkLogoutToken(left.logout_token, config.serverMetadata(), { client_id, algorithm, sub, sid })
  const [unknown, who] = await authorize({ scope: 'openid', prompt: 'none', max_age: '3600' })
  await fails(client.authorizationCodeGrant(config, unknown, who), error, 'login_required')
  return { sub, told, leaked: email ?? null }
})

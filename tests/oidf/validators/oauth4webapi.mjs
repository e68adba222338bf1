// oauth4webapi, request by request: what each answer has to be, and access tokens by RFC 9068.
import './platform.mjs'
import * as oauth from 'oauth4webapi'
import { fails, importKey, run, send } from './talk.mjs'

const PROOFS = {
  client_secret_basic: oauth.ClientSecretBasic,
  client_secret_post: oauth.ClientSecretPost,
  none: oauth.None,
  private_key_jwt: oauth.PrivateKeyJwt,
}

await run(async ({ issuer, redirect_uri, client_id, client_secret, algorithm, method, mode, audience, jwk }) => {
  const url = new URL(issuer)
  for (const kind of ['oauth2', 'oidc']) {
    await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, { algorithm: kind }))
  }
  const as = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url))
  const client = {
    client_id, id_token_signed_response_alg: algorithm, introspection_signed_response_alg: algorithm,
  }
  const key = jwk && (await importKey(jwk))
  const proof = PROOFS[method](key ?? client_secret)

  const verifier = oauth.generateRandomCodeVerifier()
  const state = oauth.generateRandomState()
  const nonce = oauth.generateRandomNonce()
  const asked = {
    client_id,
    redirect_uri,
    response_type: 'code',
    response_mode: mode,
    scope: 'openid email offline_access read',
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
    max_age: '3600',
    resource: audience,
  }
  const there = new URL(as.authorization_endpoint)
  there.search = new URLSearchParams(asked)
  if (key) {
    const request = await oauth.issueRequestObject(as, client, asked, key)
    const pushed = await oauth.pushedAuthorizationRequest(as, client, proof, { request })
    const { request_uri } = await oauth.processPushedAuthorizationResponse(as, client, pushed)
    there.search = new URLSearchParams({ client_id, request_uri })
  }
  const came = await send(there, state)
  const answer = new URLSearchParams(came.method === 'POST' ? await came.text() : new URL(came.url).searchParams)
  const parameters = oauth.validateAuthResponse(as, client, answer, state)

  const redeem = () => oauth.authorizationCodeGrantRequest(as, client, proof, parameters, redirect_uri, verifier)
  const checks = { expectedNonce: nonce, maxAge: 3600, requireIdToken: true }
  const response = await redeem()
  const tokens = await oauth.processAuthorizationCodeResponse(as, client, response, checks)
  await oauth.validateApplicationLevelSignature(as, response)
  const { sub, email } = oauth.getValidatedIdTokenClaims(tokens)

  const told = await oauth.processUserInfoResponse(
    as, client, sub, await oauth.userInfoRequest(as, client, tokens.access_token),
  )

  const again = await oauth.refreshTokenGrantRequest(as, client, proof, tokens.refresh_token, {
    additionalParameters: { resource: audience },
  })
  const refreshed = await oauth.processRefreshTokenResponse(as, client, again)
  const narrowed = new Request('https://api.example/', {
    headers: { authorization: `Bearer ${refreshed.access_token}` },
  })
  const claims = await oauth.validateJwtAccessToken(as, narrowed, audience)
  if (claims.sub !== sub || claims.aud !== audience) throw new Error('a token for somebody else')

  // Introspection, plain and signed (RFC 9701), has to say this; what is no JWT has no signature to be validated.
  async function look(expected) {
    for (const requestJwtResponse of method === 'none' ? [] : [false, true]) {
      const how = { requestJwtResponse }
      const answered = await oauth.introspectionRequest(as, client, proof, refreshed.access_token, how)
      const looked = await oauth.processIntrospectionResponse(as, client, answered)
      if (requestJwtResponse) await oauth.validateApplicationLevelSignature(as, answered)
      if (looked.active !== expected) throw new Error('it lives when it is dead, or the other way round')
    }
  }
  await look(true)
  const revoked = await oauth.revocationRequest(as, client, proof, tokens.refresh_token)
  await oauth.processRevocationResponse(revoked)
  await look(false)
  const copied = oauth.processAuthorizationCodeResponse(as, client, await redeem(), checks)
  await fails(copied, 'ResponseBodyError', 'invalid_grant')
  return { sub, told, leaked: email ?? null }
})

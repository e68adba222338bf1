// A logout token as whoever gets one has to check it (Back-Channel Logout §2.6), with jose and what discovery tells.
import { createRemoteJWKSet, jwtVerify } from 'jose'

const EVENT = 'http://schemas.openid.net/event/backchannel-logout'

export async function checkLogoutToken(token, { issuer, jwks_uri }, { client_id, algorithm, sub, sid }) {
  const { payload } = await jwtVerify(token, createRemoteJWKSet(new URL(jwks_uri)), {
    issuer,
    audience: client_id,
    subject: sub,
    algorithms: [algorithm],
    typ: 'logout+jwt',
    maxTokenAge: '2 minutes',
    clockTolerance: 30,
    requiredClaims: ['iat', 'exp', 'jti', 'sid', 'events'],
  })
  const { events, nonce } = payload
  if (JSON.stringify(events) !== JSON.stringify({ [EVENT]: {} })) throw new Error('another event')
  if (sid === undefined || payload.sid !== sid) throw new Error('another session')
  if (nonce !== undefined) throw new Error('it could pass for an ID token')
}

// With the test that runs the script: a line of JSON there, a line of JSON back.
import { createInterface } from 'node:readline'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

export async function hear() {
  return JSON.parse((await lines.next()).value)
}

export function say(told) {
  process.stdout.write(JSON.stringify(told) + '\n')
}

// Sends the user to this address, and is the request that the browser brings to the client's redirect URI, with the state
// that the client wants back.
export async function send(url, state) {
  say({ open: url.href, state })
  const { url: came, body } = await hear()
  if (body === null) return new Request(came)
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  return new Request(came, { method: 'POST', headers, body })
}

// Sends the user to this address to be logged out: where they are then, and what the client's server was told.
export async function logOut(url) {
  say({ log_out: url.href })
  return hear()
}

// The key that a client signs with, of what it was registered with.
export async function importKey(jwk) {
  const how = { name: 'ECDSA', namedCurve: 'P-256' }
  return { key: await crypto.subtle.importKey('jwk', jwk, how, false, ['sign']), kid: jwk.kid }
}

export async function fails(promise, name, error) {
  try {
    await promise
  } catch (caught) {
    if (caught.name === name && caught.error === error) return
    throw caught
  }
  throw new Error(`${error} was expected`)
}

export async function run(judge) {
  try {
    say({ judged: await judge(await hear()) })
  } catch (error) {
    say({ failed: `${error.stack}\n${JSON.stringify(error.cause) ?? ''}` })
  }
  process.exit()
}

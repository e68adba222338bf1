// What Node 18, which Debian 12 has, keeps in a module, and every later one has for all.
import { webcrypto } from 'node:crypto'

globalThis.crypto ??= webcrypto
globalThis.CryptoKey ??= webcrypto.CryptoKey

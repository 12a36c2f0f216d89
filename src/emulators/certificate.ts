/**
 * Certificates of emulators, made for each start: one for this machine's loopback, since the clients of Azure and
 * Kubernetes send tokens over TLS alone, and those by which a client proves who it is.
 * Node makes keys and signatures, and no certificates, so the few bytes around them are written here (RFC 5280).
 * A key that a package shipped would be everybody's, and trusting it would be trusting anybody.
 */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'

/** In PEM. */
export interface Certificate {
  readonly key: string
  readonly cert: string
}

const VALID_MS = 90 * 86_400_000

const OID = {
  ecdsaWithSha256: '06082a8648ce3d040302',
  commonName: '0603550403',
  keyUsage: '0603551d0f',
  subjectAltName: '0603551d11',
  basicConstraints: '0603551d13',
  extendedKeyUsage: '0603551d25',
  serverAuth: '06082b06010505070301',
  clientAuth: '06082b06010505070302',
} as const

/** Makes a key and a certificate of its own signing, for `localhost` and 127.0.0.1. It can sign no other. */
export function makeCertificate(now = Date.now()): Certificate {
  // Not `localhost`, which other self-signed certificates have: of two with one name, a client that trusts both tries only the first.
  return selfSigned('Waybill emulator', OID.serverAuth, now)
}

/** Makes a key and a certificate of its own signing by which a client proves that it is the user of a name. */
export function makeClientCertificate(user: string, now = Date.now()): Certificate {
  return selfSigned(user, OID.clientAuth, now)
}

function selfSigned(commonName: string, usage: string, now: number): Certificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const algorithm = sequence(hex(OID.ecdsaWithSha256))
  const name = sequence(der(0x31, sequence(hex(OID.commonName), der(0x0c, Buffer.from(commonName)))))
  const toBeSigned = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    algorithm,
    name,
    // A clock that is a little behind takes it too.
    sequence(utcTime(now - 3_600_000), utcTime(now + VALID_MS)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions(usage))),
  )
  const signature = der(0x03, Buffer.from([0]), sign('sha256', toBeSigned, privateKey))
  const bytes = sequence(toBeSigned, algorithm, signature)
  const lines = bytes.toString('base64').replace(/.{64}(?=.)/g, '$&\n')
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
  }
}

function extensions(usage: string): Buffer[] {
  const critical = der(0x01, Buffer.from([0xff]))
  const names = sequence(der(0x82, Buffer.from('localhost')), der(0x87, Buffer.from([127, 0, 0, 1])))
  return [
    sequence(hex(OID.basicConstraints), critical, der(0x04, sequence())),
    // digitalSignature
    sequence(hex(OID.keyUsage), critical, der(0x04, der(0x03, Buffer.from([7, 0x80])))),
    sequence(hex(OID.extendedKeyUsage), der(0x04, sequence(hex(usage)))),
    sequence(hex(OID.subjectAltName), der(0x04, names)),
  ]
}

function utcTime(ms: number): Buffer {
  const text = new Date(ms).toISOString().replace(/^..|[-:T]|\..*$/g, '')
  return der(0x17, Buffer.from(`${text}Z`))
}

function sequence(...parts: Buffer[]): Buffer {
  return der(0x30, ...parts)
}

/** One value in the distinguished encoding: tag, length, content. */
function der(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}

function hex(text: string): Buffer {
  return Buffer.from(text, 'hex')
}

// The js-libp2p side of the interop tests; ../README.md holds its command line contract.

import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { generateKeyPair, generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { askDHT, kad, serveDHT } from './kad.mjs'
import { lookingAround } from './mdns.mjs'
import { PERF, perf, servePerf } from './perf.mjs'
import { RELAY_OPTIONS, autonatServer, isRelayed, path, pingOn, relayClient, relayServer, reserved, watch } from './relay.mjs'
import { PROTOCOL, openTunnel, serveTunnel } from './tunnel.mjs'

const DEADLINE_MS = 30_000
const LONG_DEADLINE_MS = 120_000
const EXIT_DEADLINE = 75

function report (line) {
    console.log(JSON.stringify(line))
}

function fail (code, reason) {
    report({ event: 'error', reason })
    process.exit(code)
}

async function newNode (privateKey, listen, runOnConnectionOpen, services = {}, peerDiscovery = [], transports = []) {
    return createLibp2p({
        privateKey,
        addresses: { listen },
        transports: [tcp(), ...transports],
        connectionEncrypters: [noise()],
        // By itself a busy js resets a stream of which 4 MiB wait for its reader, although the window that it gives grows to 16.
        streamMuxers: [yamux({ maxInboundStreams: 10_000, maxOutboundStreams: 10_000, streamOptions: { maxReadBufferLength: 32 << 20 } })],
        services: { identify: identify({ runOnConnectionOpen }), ping: ping({ maxInboundStreams: 16, maxOutboundStreams: 16 }), ...services },
        peerDiscovery,
        // All test peers share one address, which the default limits take for an attack.
        connectionManager: { inboundConnectionThreshold: 10_000, maxIncomingPendingConnections: 1_000 }
    })
}

// Of a seed, which are the secret bytes, only Ed25519 keys are made.
async function newKey (name, seed) {
    const [type, size] = {
        ed25519: ['Ed25519'], secp256k1: ['secp256k1'], ecdsa: ['ECDSA', 'P-256'], rsa: ['RSA', 2048]
    }[name] ?? []
    if (type === undefined) {
        throw new Error(`unknown key type: ${name}`)
    }
    if (seed === undefined) {
        return generateKeyPair(type, size)
    }
    const bytes = Buffer.alloc(32)
    bytes.writeBigUInt64BE(BigInt(seed), 24)
    return generateKeyPairFromSeed(type, bytes)
}

async function listen (key, options) {
    const around = lookingAround()
    const node = await newNode(key, [options.addr], true, options.kad && { dht: kad(options.kad, false) }, options.mdns && [around.discovery])
    node.addEventListener('peer:connect', event => console.error(`connected to ${event.detail}`))
    await serve(node)
    if (options.kad !== undefined) {
        await serveDHT(node, options)
    }
    ready(node, key, node.getMultiaddrs())
    around.report(report)
}

async function serve (node) {
    await node.handle(PROTOCOL, serveTunnel, { maxInboundStreams: 10_000, runOnLimitedConnection: true })
    await node.handle(PERF, servePerf, { runOnLimitedConnection: true })
}

function ready (node, key, addrs) {
    report({ event: 'ready', peer: node.peerId.toString(), key: key.type, addrs })
    process.stdin.resume()
    process.stdin.on('end', () => process.exit(0))
}

// A relay, or a server of AutoNAT.
async function offer (key, options, { services }) {
    const node = await newNode(key, [options.addr], true, services)
    node.addEventListener('peer:connect', event => console.error(`connected to ${event.detail}`))
    await serve(node)
    ready(node, key, node.getMultiaddrs())
}

async function reserve (key, relay, options) {
    const { services, transports } = relayClient(options)
    const node = await newNode(key, [options.addr, `${relay}/p2p-circuit`], true, services, [], transports)
    node.addEventListener('peer:connect', event => console.error(`connected to ${event.detail}`))
    await serve(node)
    const addrs = await reserved(node)
    ready(node, key, addrs)
    watch(node, report)
    node.addEventListener('self:peer:update', () => {
        report({ event: 'reservation', ok: node.getMultiaddrs().some(isRelayed) })
    })
}

async function findPath (key, addr, options) {
    const { services, transports } = relayClient({ dcutr: true })
    const node = await newNode(key, [options.addr], true, services, [], transports)
    await serve(node)
    if (isRelayed(addr)) {
        await node.dial(multiaddr(addr.split('/p2p-circuit')[0]))
    }
    setTimeout(() => {
        report({ event: 'path', direct: false })
        fail(EXIT_DEADLINE, `no direct connection within ${options.timeout} s`)
    }, Number(options.timeout) * 1000)
    await path(node, addr, options['wait-direct'], report)
    process.exit(0)
}

class Dialer {
    static async connect (addr, key, runOnConnectionOpen) {
        const dialer = new Dialer()
        dialer.key = key
        const { transports } = isRelayed(addr) ? relayClient({}) : {}
        dialer.node = await newNode(key, [], runOnConnectionOpen, {}, [], transports)
        dialer.connection = await dialer.node.dial(multiaddr(addr))
        return dialer
    }

    async ping (count, show) {
        for (let seq = 0; seq < count; seq++) {
            const start = performance.now()
            await (isRelayed(this.connection.remoteAddr) ? pingOn(this.connection) : this.node.services.ping.ping(this.connection.remotePeer))
            show({ event: 'ping', seq, rtt_us: Math.round((performance.now() - start) * 1000) })
        }
        show({ event: 'summary', sent: count, received: count, relayed: isRelayed(this.connection.remoteAddr) })
    }

    async identify () {
        const info = await this.node.services.identify.identify(this.connection)
        const { addresses } = await this.node.peerStore.get(info.peerId)
        report({
            own_peer: this.node.peerId.toString(),
            own_key: this.key.type,
            peer: info.peerId.toString(),
            agent: info.agentVersion,
            protocol_version: info.protocolVersion,
            protocols: info.protocols,
            listen_addrs: info.listenAddrs,
            observed_addr: info.observedAddr ?? null,
            certified_addrs: info.signedPeerRecord === undefined
                ? null
                : addresses.filter(address => address.isCertified).map(address => address.multiaddr)
        })
    }

    // Sends `size` bytes and wants them back. To the end: the write half closes first, and the answer counts only
    // with its end of stream.
    async exchange (service, size, toEnd) {
        const tunnel = await openTunnel(this.connection, service)
        const sent = randomBytes(size)
        const write = async () => {
            await tunnel.write(sent)
            if (toEnd) {
                await tunnel.close()
            }
        }
        const read = toEnd ? tunnel.readToEnd() : tunnel.readExactly(size)
        const [received] = await Promise.all([read, write()])
        if (!sent.equals(received)) {
            throw new Error(`sent ${size} bytes, and the ${received.length} received differ`)
        }
        await tunnel.close()
    }

    async echo (service, size) {
        await this.exchange(service, size, false)
        report({ event: 'echo', ok: true, bytes: size, relayed: isRelayed(this.connection.remoteAddr) })
    }

    async halfClose (service, size) {
        await this.exchange(service, size, true)
        report({ event: 'halfclose', ok: true, bytes: size })
    }

    async reset (service) {
        const tunnel = await openTunnel(this.connection, service)
        await tunnel.write(Buffer.alloc(1000))
        tunnel.reset()
        await this.exchange(service, 1000, false)
        await this.stillWorks()
        report({ event: 'reset', ok: true })
    }

    async expectReset (service) {
        const tunnel = await openTunnel(this.connection, service)
        await tunnel.write(Buffer.from('x'))
        const how = await tunnel.readToEnd().then(
            () => { throw new Error('a clean end of stream instead of a reset') },
            error => error.message
        )
        await this.stillWorks()
        report({ event: 'expect-reset', ok: true, how })
    }

    async perf (up, down) {
        await perf(this.connection, up, down)
        report({ event: 'perf', ok: true, up_bytes: up, down_bytes: down })
    }

    // Opens so many tunnels, and echoes through all of them while all are open.
    async streams (service, count) {
        const open = []
        for (let i = 0; i < count; i++) {
            open.push(await openTunnel(this.connection, service))
        }
        const words = open.map((_, i) => Buffer.from(String(i).padStart(8, '0')))
        await Promise.all(open.map((tunnel, i) => tunnel.write(words[i])))
        for (const [i, tunnel] of open.entries()) {
            if (!words[i].equals(await tunnel.readExactly(8))) {
                throw new Error(`stream ${i} got something else`)
            }
        }
        await Promise.all(open.map(tunnel => tunnel.close()))
        await this.stillWorks()
        report({ event: 'streams', ok: true, count })
    }

    // Pings, and makes sure that no second connection took the place of the first.
    async stillWorks () {
        await this.ping(1, () => {})
        const open = this.node.getConnections(this.connection.remotePeer)
        if (open.length !== 1 || open[0] !== this.connection) {
            throw new Error('the connection did not survive the reset')
        }
    }
}

async function main () {
    const { values, positionals: [command, ...operands] } = parseArgs({
        allowPositionals: true,
        options: {
            addr: { type: 'string', default: '/ip4/127.0.0.1/tcp/0' },
            seed: { type: 'string' },
            key: { type: 'string', default: 'ed25519' },
            count: { type: 'string', default: '5' },
            bytes: { type: 'string', default: '1000' },
            up: { type: 'string', default: '0' },
            down: { type: 'string', default: '0' },
            kad: { type: 'string' },
            bootstrap: { type: 'string' },
            provide: { type: 'string' },
            mdns: { type: 'boolean' },
            ...RELAY_OPTIONS
        }
    })
    const wanted = { listen: 0, ping: 1, identify: 1, echo: 2, halfclose: 2, reset: 2, 'expect-reset': 2, perf: 1, streams: 2, relay: 0, reserve: 1, path: 1, 'autonat-server': 0 }
    if (wanted[command] !== operands.length && command !== 'dht') {
        throw new Error(`cannot do: ${command} ${operands.join(' ')}`)
    }
    const key = await newKey(values.key, values.seed)
    if (command === 'listen') {
        return listen(key, values)
    }
    const staying = {
        relay: () => offer(key, values, relayServer(values)),
        'autonat-server': () => offer(key, values, autonatServer()),
        reserve: () => reserve(key, operands[0], values),
        path: () => findPath(key, operands[0], values)
    }[command]
    if (staying !== undefined) {
        return staying()
    }

    const patience = command === 'perf' || command === 'streams' ? LONG_DEADLINE_MS : DEADLINE_MS
    setTimeout(fail, patience, EXIT_DEADLINE, `the deadline of ${patience / 1000} s has passed`)
    if (command === 'dht') {
        const node = await newNode(key, [values.addr], true, { dht: kad(values.kad, true) })
        report(await askDHT(node, operands, values))
        process.exit(0)
    }
    const [addr, service] = operands
    // What js-libp2p does by itself on a new connection only logs what is wrong, and bars a second identify meanwhile.
    const dialer = await Dialer.connect(addr, key, command !== 'identify')
    const size = Number(values.bytes)
    await {
        ping: () => dialer.ping(Number(values.count), report),
        identify: () => dialer.identify(),
        echo: () => dialer.echo(service, size),
        halfclose: () => dialer.halfClose(service, size),
        reset: () => dialer.reset(service),
        'expect-reset': () => dialer.expectReset(service),
        perf: () => dialer.perf(Number(values.up), Number(values.down)),
        streams: () => dialer.streams(service, Number(values.count))
    }[command]()
    process.exit(0)
}

// Some of js-libp2p's promises are rejected with an event, which has no message.
main().catch(error => fail(1, error.message ?? `${error.type} event: ${error.error?.message}`))

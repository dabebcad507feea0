// Relays: to be one, to be reached through one, and how a relayed connection comes to be a direct one.

import { randomBytes } from 'node:crypto'
import { autoNAT } from '@libp2p/autonat'
import { autoNATv2 } from '@libp2p/autonat-v2'
import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { dcutr } from '@libp2p/dcutr'
import { multiaddr } from '@multiformats/multiaddr'
import { Tunnel } from './tunnel.mjs'

export const RELAY_OPTIONS = {
    'circuit-bytes': { type: 'string', default: String(1 << 17) },
    'circuit-time': { type: 'string', default: '120' },
    'reservation-time': { type: 'string', default: '3600' },
    reservations: { type: 'string', default: '1024' },
    dcutr: { type: 'boolean' },
    'wait-direct': { type: 'boolean' },
    timeout: { type: 'string', default: '20' }
}

// What a node has besides the usual, to serve or to use relays.
export function relayServer (values) {
    return {
        services: {
            relay: circuitRelayServer({
                reservations: {
                    maxReservations: Number(values.reservations),
                    reservationTtl: Number(values['reservation-time']) * 1000,
                    applyDefaultLimit: values['circuit-bytes'] !== '0',
                    defaultDurationLimit: Number(values['circuit-time']) * 1000,
                    defaultDataLimit: BigInt(values['circuit-bytes'])
                },
                maxInboundHopStreams: 1000,
                maxOutboundHopStreams: 1000,
                maxOutboundStopStreams: 1000
            })
        }
    }
}

export function relayClient (values) {
    return {
        transports: [circuitRelayTransport({ maxInboundStopStreams: 1000, maxOutboundStopStreams: 1000 })],
        services: values.dcutr ? { dcutr: dcutr() } : {}
    }
}

export function autonatServer () {
    return { services: { first: autoNAT({ maxInboundStreams: 100 }), second: autoNATv2({ maxInboundStreams: 100 }) } }
}

export function isRelayed (addr) {
    return addr.toString().includes('/p2p-circuit')
}

// Reports relayed connections, and direct ones to the peers that have or had one; calls back with the direct ones.
export function watch (node, report, only = undefined, direct = () => {}) {
    const relayed = new Map()
    const [relay] = node.getConnections()
    node.addEventListener('connection:open', ({ detail: connection }) => {
        const peer = connection.remotePeer.toString()
        if ((only ?? peer) !== peer || connection.remotePeer.equals(relay?.remotePeer)) {
            return
        }
        const addr = connection.remoteAddr.toString()
        if (isRelayed(addr)) {
            relayed.set(peer, performance.now())
            report({ event: 'relayed', peer, addr })
            return
        }
        if (relayed.has(peer)) {
            report({ event: 'direct', peer, addr, ms: performance.now() - relayed.get(peer) })
        }
        direct(connection, relayed.get(peer))
    })
}

// The library's own ping goes to a peer, and may find another way to it than the relayed connection.
export async function pingOn (connection) {
    const stream = new Tunnel(await connection.newStream('/ipfs/ping/1.0.0', { runOnLimitedConnection: true }))
    const sent = randomBytes(32)
    await stream.write(sent)
    if (!sent.equals(await stream.readExactly(32))) {
        throw new Error('the answer to the ping is another one')
    }
    await stream.close()
}

// The node has been told to listen through the relay, which is what makes the reservation.
export async function reserved (node) {
    while (true) {
        const own = node.getMultiaddrs().filter(isRelayed)
        if (own.length > 0) {
            return own
        }
        await new Promise(resolve => setTimeout(resolve, 5))
    }
}

// Dials, through a relay if the address says so, and then waits for a direct connection that answers a ping.
export async function path (node, addr, waitDirect, report) {
    const start = performance.now()
    return new Promise((resolve, reject) => {
        watch(node, report, addr.split('/p2p/').at(-1), (connection, since) => {
            pingOn(connection).then(() => {
                report({ event: 'path', direct: true, direct_ms: performance.now() - (since ?? start) })
                resolve()
            }, error => report({ event: 'direct-lost', reason: error.message }))
        })
        node.dial(multiaddr(addr)).then(async connection => {
            if (isRelayed(connection.remoteAddr) && !waitDirect) {
                await pingOn(connection)
                report({ event: 'path', direct: false })
                resolve()
            }
        }).catch(reject)
    })
}

// Kademlia: as a server among others, and one question to them.

import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'

const TABLE_MS = 15_000

export function kad (protocol, clientMode) {
    return kadDHT({
        protocol,
        clientMode,
        // Tests live on private addresses.
        peerInfoMapper: passthroughMapper,
        // What a value in the namespace /punchgate may be: anything, and the first one is as good as any.
        validators: { punchgate: async () => {} },
        selectors: { punchgate: () => 0 },
        // The first server of all has nobody to ask; whoever asks waits for a peer in its table, below.
        allowQueryWithZeroPeers: true
    })
}

// The text, or with 0x before it what its digits mean.
function octets (text) {
    return text.startsWith('0x') ? Buffer.from(text.slice(2), 'hex') : Buffer.from(text)
}

// The key as this library takes those of providers. Only its multihash is sent, and so a key that is none, as services
// have, is sent as it is.
function contentOf (key) {
    const bytes = octets(key)
    return CID.createV1(raw.code, { code: bytes[0], size: bytes.length, bytes, digest: bytes })
}

async function join (node, bootstrap) {
    await node.dial(multiaddr(bootstrap))
    const end = performance.now() + TABLE_MS
    while (node.services.dht.routingTable.size === 0) {
        if (performance.now() > end) {
            throw new Error('the bootstrap peer does not come into the routing table')
        }
        await new Promise(resolve => setTimeout(resolve, 10))
    }
}

// Joins, and announces the key if one is given.
export async function serveDHT (node, { bootstrap, provide }) {
    if (bootstrap !== undefined) {
        await join(node, bootstrap)
        await node.services.dht.refreshRoutingTable()
    }
    if (provide !== undefined) {
        await taken(node.services.dht.provide(contentOf(provide)), 'ADD_PROVIDER')
    }
}

function listed (infos) {
    const known = new Map(infos.map(({ id, multiaddrs }) => [id.toString(), multiaddrs]))
    return [...known].map(([peer, addrs]) => ({ peer, addrs }))
}

async function all (events, name) {
    const found = []
    for await (const event of events) {
        if (event.name === name) {
            found.push(event)
        }
    }
    return found
}

// Some of those asked may have gone, but not all.
async function taken (events, message) {
    const answers = await all(events, 'PEER_RESPONSE')
    if (!answers.some(answer => answer.messageName === message)) {
        throw new Error(`nobody took the ${message}`)
    }
}

const OPS = {
    put: async (dht, key, value) => {
        await taken(dht.put(octets(key), Buffer.from(value)), 'PUT_VALUE')
        return {}
    },
    get: async (dht, key) => {
        const [found] = await all(dht.get(octets(key)), 'VALUE')
        if (found === undefined) {
            throw new Error('the record was not found')
        }
        return { value: Buffer.from(found.value).toString() }
    },
    providers: async (dht, key) => {
        const found = await all(dht.findProviders(contentOf(key)), 'PROVIDER')
        return { providers: listed(found.flatMap(event => event.providers)) }
    },
    find: async (dht, peer) => {
        const found = await all(dht.findPeer(peerIdFromString(peer)), 'FINAL_PEER')
        if (found.length === 0) {
            throw new Error('the peer was not found')
        }
        return { peers: listed(found.map(event => event.peer)) }
    },
    closest: async (dht, key) => {
        const found = await all(dht.getClosestPeers(octets(key)), 'FINAL_PEER')
        return { peers: listed(found.map(event => event.peer)) }
    }
}

export async function askDHT (node, [op, ...operands], { bootstrap }) {
    if (OPS[op] === undefined || operands.length !== (op === 'put' ? 2 : 1)) {
        throw new Error(`cannot do: dht ${op} ${operands.join(' ')}`)
    }
    await join(node, bootstrap)
    return { event: 'dht', op, ok: true, ...await OPS[op](node.services.dht, ...operands) }
}

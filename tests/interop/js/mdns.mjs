// mDNS: to be found on the local network, and to say who was found there.

import { mdns } from '@libp2p/mdns'

// What the node is given, and what tells of all that was found, from the first on. The library's own event for a peer comes
// once, and where the peer has dialled before, without its addresses.
export function lookingAround () {
    const found = []
    let tell = line => found.push(line)
    const discovery = components => {
        const looking = mdns()(components)
        looking.addEventListener('peer', ({ detail: { id, multiaddrs } }) => tell({ event: 'mdns', peer: id, addrs: multiaddrs }))
        return looking
    }
    const report = to => {
        found.forEach(to)
        tell = to
    }
    return { discovery, report }
}

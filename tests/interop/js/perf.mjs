// Source: libp2p/specs perf/perf.md.
import { Tunnel } from './tunnel.mjs'

export const PERF = '/perf/1.0.0'
const CHUNK = Buffer.alloc(65536)

async function count (tunnel) {
    let bytes = 0
    for (let chunk = await tunnel.read(); chunk !== null; chunk = await tunnel.read()) {
        bytes += chunk.length
    }
    return bytes
}

async function give (tunnel, size) {
    for (let left = size; left > 0; left -= CHUNK.length) {
        await tunnel.write(CHUNK.subarray(0, left))
    }
}

export async function servePerf (stream) {
    const tunnel = new Tunnel(stream)
    try {
        const wanted = Number((await tunnel.readExactly(8)).readBigUInt64BE())
        await count(tunnel)
        await give(tunnel, wanted)
        await tunnel.close()
    } catch (error) {
        console.error(`perf: ${error.message}`)
        tunnel.reset()
    }
}

export async function perf (connection, up, down) {
    const tunnel = new Tunnel(await connection.newStream(PERF, { runOnLimitedConnection: true }))
    const request = Buffer.alloc(8)
    request.writeBigUInt64BE(BigInt(down))
    await tunnel.write(request)
    await give(tunnel, up)
    const [got] = await Promise.all([count(tunnel), tunnel.close()])
    if (got !== down) {
        throw new Error(`${got} bytes instead of ${down}`)
    }
}

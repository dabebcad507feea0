export const PROTOCOL = '/punchgate/tunnel/1.0.0'
const MAX_FRAME = 65536
const CHUNK = 65536

// A stream to read from and write to in sequence. js-libp2p delivers by events, and its own iterator misses the end
// of a stream that ended before the iteration began.
export class Tunnel {
    #stream
    #chunks = []
    #ended
    #wake = () => {}
    #drained = () => {}

    constructor (stream) {
        this.#stream = stream
        // What came together with the negotiation is handed over late, after an end that came with it, too.
        this.#ended = stream.readableEnded && stream.readBufferLength === 0
        stream.addEventListener('message', event => {
            this.#chunks.push(Buffer.from(event.data.subarray()))
            this.#ended = stream.readableEnded
            this.#wake()
        })
        stream.addEventListener('end', () => {
            this.#ended = true
            this.#wake()
        })
        stream.addEventListener('drain', () => this.#drained())
        stream.addEventListener('close', () => this.#drained())
    }

    // The next bytes, or null at the end of the stream. What came before a reset is still delivered.
    async read () {
        while (this.#chunks.length === 0 && !this.#ended) {
            await new Promise(resolve => { this.#wake = resolve })
        }
        if (this.#chunks.length > 0) {
            return this.#chunks.shift()
        }
        if (this.#stream.status === 'reset' || this.#stream.status === 'aborted') {
            throw new Error(`the stream is ${this.#stream.status}`)
        }
        return null
    }

    async readExactly (size) {
        const chunks = []
        let missing = size
        while (missing > 0) {
            const chunk = await this.read()
            if (chunk === null) {
                throw new Error(`the stream ended ${missing} bytes too early`)
            }
            if (chunk.length > missing) {
                this.#chunks.unshift(chunk.subarray(missing))
            }
            chunks.push(chunk.subarray(0, missing))
            missing -= Math.min(missing, chunk.length)
        }
        return Buffer.concat(chunks)
    }

    async readToEnd () {
        const chunks = []
        for (let chunk = await this.read(); chunk !== null; chunk = await this.read()) {
            chunks.push(chunk)
        }
        return Buffer.concat(chunks)
    }

    async readFrame () {
        const length = (await this.readExactly(4)).readUInt32BE()
        if (length > MAX_FRAME) {
            throw new Error(`a frame of ${length} bytes`)
        }
        return JSON.parse(await this.readExactly(length))
    }

    // One chunk queued at most: js-libp2p sends what is queued as one frame, and rust-libp2p refuses frames over 1 MiB.
    async write (bytes) {
        for (let start = 0; start < bytes.length; start += CHUNK) {
            this.#stream.send(bytes.subarray(start, start + CHUNK))
            while (this.#stream.writableNeedsDrain && this.#stream.status === 'open') {
                // In place of the stream's own onDrain(), which waits the first time only.
                await new Promise(resolve => { this.#drained = resolve })
            }
        }
    }

    async writeFrame (value) {
        const body = Buffer.from(JSON.stringify(value))
        const length = Buffer.alloc(4)
        length.writeUInt32BE(body.length)
        await this.write(Buffer.concat([length, body]))
    }

    async close () {
        await this.#stream.close()
    }

    reset () {
        this.#stream.abort(new Error('reset by this side'))
    }
}

export async function openTunnel (connection, service) {
    const tunnel = new Tunnel(await connection.newStream(PROTOCOL, { maxOutboundStreams: 10_000, runOnLimitedConnection: true }))
    await tunnel.writeFrame({ service_name: service })
    const answer = await tunnel.readFrame().catch(error => {
        throw new Error(`service not reachable: ${error.message}`)
    })
    if (typeof answer.accepted !== 'boolean') {
        throw new Error('an answer without "accepted"')
    }
    if (!answer.accepted) {
        throw new Error(`rejected: ${answer.reason ?? ''}`)
    }
    return tunnel
}

const services = {
    async echo (tunnel) {
        for (let chunk = await tunnel.read(); chunk !== null; chunk = await tunnel.read()) {
            await tunnel.write(chunk)
        }
    },

    async reset (tunnel) {
        await tunnel.readExactly(1)
        throw new Error('reset is what this service is for')
    },

    async sink (tunnel) {
        let count = 0
        for (let chunk = await tunnel.read(); chunk !== null; chunk = await tunnel.read()) {
            count += chunk.length
        }
        await tunnel.write(Buffer.from(String(count)))
    },

    async source (tunnel) {
        let line = ''
        while (!line.endsWith('\n')) {
            line += await tunnel.readExactly(1)
        }
        const chunk = Buffer.alloc(CHUNK)
        for (let left = Number.parseInt(line, 10); left > 0; left -= CHUNK) {
            await tunnel.write(chunk.subarray(0, left))
        }
    }
}

export async function serveTunnel (stream) {
    const tunnel = new Tunnel(stream)
    try {
        const { service_name: name } = await tunnel.readFrame()
        if (typeof name !== 'string') {
            throw new Error('a request without "service_name"')
        }
        if (Object.hasOwn(services, name)) {
            await tunnel.writeFrame({ accepted: true })
            await services[name](tunnel)
        } else {
            await tunnel.writeFrame({ accepted: false, reason: `unknown service: ${name}` })
        }
        await tunnel.close()
    } catch {
        tunnel.reset()
    }
}

//! Messages of the protocols for NATs, changed on their way out, as ../../go/alter.go does it: what this rust-libp2p says of relays,
//! punching and AutoNAT is its own work but for one thing. Of the faults that ../../README.md explains it has those by seed, and `raw`.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};

const NAMES: &[(&str, &str)] = &[
    ("/libp2p/circuit/relay/0.2.0/hop\n", "hop"),
    ("/libp2p/circuit/relay/0.2.0/stop\n", "stop"),
    ("/libp2p/dcutr\n", "dcutr"),
    ("/libp2p/autonat/1.0.0\n", "autonat1"),
    ("/libp2p/autonat/2/dial-request\n", "autonat2"),
    ("/libp2p/autonat/2/dial-back\n", "dialback"),
];
const OF_FIELDS: u64 = 6;
const OF_MESSAGES: u64 = 7;

/// PROTOCOL:any:random=SEED or PROTOCOL:raw:flip=N.
pub struct Alteration {
    protocol: String,
    raw: bool,
    number: u64,
    seen: AtomicU64,
}

impl Alteration {
    pub fn parse(fault: &str) -> Option<Arc<Self>> {
        let (protocol, rest) = fault.split_once(':')?;
        let (raw, number) = match rest.strip_prefix("any:random=") {
            Some(seed) => (false, seed),
            None => (true, rest.strip_prefix("raw:flip=")?),
        };
        Some(Arc::new(Self { protocol: protocol.into(), raw, number: number.parse().ok()?, seen: AtomicU64::new(0) }))
    }

    fn is_of(&self, protocol: &str) -> bool {
        protocol == self.protocol || (self.protocol == "autonat" && (protocol.starts_with("autonat") || protocol == "dialback"))
    }

    fn message(&self, protocol: &str, body: &[u8]) -> Vec<u8> {
        if self.raw || !self.is_of(protocol) {
            return framed(body);
        }
        let mut draw = Draw(self.number << 32 | self.seen.fetch_add(1, Ordering::Relaxed));
        let count = fields(body).len() as u64;
        let (what, out) = if count == 0 || draw.below(4) == 0 {
            let (what, out) = wholly(draw.below(OF_MESSAGES), body);
            (what.to_string(), out)
        } else {
            let (what, changed) = changed(body, &mut draw, 2);
            (what, framed(&changed))
        };
        eprintln!("altered {protocol}: {what}");
        out
    }

    fn raw(&self, protocol: &str, mut data: Vec<u8>) -> Vec<u8> {
        if self.raw && self.is_of(protocol) && self.seen.fetch_add(1, Ordering::Relaxed) >= self.number && !data.is_empty() {
            eprintln!("altered {protocol}: raw flip");
            let middle = data.len() / 2;
            data[middle] ^= 4;
        }
        data
    }
}

/// Numbers that follow from a seed: splitmix64.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (i, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * i as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, body.len() as u64);
    out.extend(body);
    out
}

fn wholly(what: u64, body: &[u8]) -> (&'static str, Vec<u8>) {
    let long = |more: u64| {
        let mut out = Vec::new();
        put(&mut out, body.len() as u64 + more);
        out.extend(body);
        out
    };
    match what {
        0 => ("dropped", vec![]),
        1 => ("empty", vec![0]),
        2 => ("cut", framed(&body[..body.len() / 2])),
        3 => ("long", long(5)),
        4 => ("huge", long(1 << 60)),
        5 => ("twice", [framed(body), framed(body)].concat()),
        _ => ("garbage", framed(&vec![0xff; body.len() + 1])),
    }
}

/// A field as it stands, and where its value begins in it; none if this is no message.
fn fields(body: &[u8]) -> Vec<(&[u8], usize)> {
    let (mut found, mut rest) = (Vec::new(), body);
    while !rest.is_empty() {
        let Some((key, n)) = take(rest) else { return vec![] };
        let value = match (key & 7, take(&rest[n..])) {
            (0, Some((_, m))) => (n, n + m),
            (1, _) => (n, n + 8),
            (2, Some((size, m))) if size <= rest.len() as u64 => (n + m, n + m + size as usize),
            _ => return vec![],
        };
        if key >> 3 == 0 || value.1 > rest.len() {
            return vec![];
        }
        found.push((&rest[..value.1], value.0));
        rest = &rest[value.1..];
    }
    found
}

/// One field, or one within it, has become something else.
fn changed(body: &[u8], draw: &mut Draw, depth: u32) -> (String, Vec<u8>) {
    let all = fields(body);
    let chosen = draw.below(all.len() as u64) as usize;
    let (mut out, mut what) = (Vec::new(), String::new());
    for (i, (field, at)) in all.iter().enumerate() {
        if i != chosen {
            out.extend(*field);
            continue;
        }
        let (key, value) = (field[0], &field[*at..]);
        if key & 7 == 2 && depth > 0 && !fields(value).is_empty() && draw.below(2) == 0 {
            let (within, inner) = changed(value, draw, depth - 1);
            what = format!("{}.{within}", key >> 3);
            out.push(key);
            out.extend(framed(&inner));
            continue;
        }
        let with = |key: u8, value: &[u8]| [&[key], &*if key & 7 == 2 { framed(value) } else { value.to_vec() }].concat();
        let mut flipped = value.to_vec();
        if let Some(first) = flipped.first_mut() {
            *first ^= 1;
        }
        let (name, bytes) = match draw.below(OF_FIELDS) {
            0 => ("dropped", vec![]),
            1 => ("twice", [*field, *field].concat()),
            2 => ("of another type", with(key ^ 2, if key & 7 == 2 { &[0] } else { value })),
            3 if key & 7 == 2 => ("empty", with(key, &[])),
            4 if key & 7 == 2 => ("long", with(key, &[value, &[0; 3000]].concat())),
            _ => ("flipped", with(key, &flipped)),
        };
        what = format!("{} {name}", key >> 3);
        out.extend(bytes);
    }
    (what, out)
}

/// Streams of the muxer within change what is written to them.
pub struct Altering<M>(pub M, pub Option<Arc<Alteration>>);

impl<M: StreamMuxer + Unpin> StreamMuxer for Altering<M>
where
    M::Substream: Unpin,
{
    type Substream = Stream<M::Substream>;
    type Error = M::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Self::Substream, M::Error>> {
        let stream = ready!(Pin::new(&mut self.0).poll_inbound(context))?;
        Poll::Ready(Ok(Stream::new(stream, self.1.clone())))
    }

    fn poll_outbound(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Self::Substream, M::Error>> {
        let stream = ready!(Pin::new(&mut self.0).poll_outbound(context))?;
        Poll::Ready(Ok(Stream::new(stream, self.1.clone())))
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        Pin::new(&mut self.0).poll_close(context)
    }

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, M::Error>> {
        Pin::new(&mut self.0).poll(context)
    }
}

/// Follows the lines of multistream-select that it writes, then the messages behind them.
pub struct Stream<S> {
    inner: S,
    how: Option<Arc<Alteration>>,
    protocol: &'static str,
    follows: bool,
    rest: Vec<u8>,
    out: Vec<u8>,
}

impl<S: AsyncWrite + Unpin> Stream<S> {
    fn new(inner: S, how: Option<Arc<Alteration>>) -> Self {
        Self { inner, follows: how.is_none(), how, protocol: "", rest: vec![], out: vec![] }
    }

    fn pass(&mut self, data: &[u8]) {
        let Some(how) = self.how.clone() else { return self.out.extend(data) };
        if self.follows {
            return self.out.extend(how.raw(self.protocol, data.to_vec()));
        }
        self.rest.extend(data);
        while !self.follows {
            let Some((size, n)) = take(&self.rest) else { return };
            if ((self.rest.len() - n) as u64) < size {
                return;
            }
            let body: Vec<u8> = self.rest.drain(..n + size as usize).skip(n).collect();
            let text = String::from_utf8_lossy(&body).into_owned();
            if text == "na\n" || (text.starts_with('/') && text.ends_with('\n')) {
                if text != "na\n" && !text.starts_with("/multistream/") {
                    let known = NAMES.iter().find(|(name, _)| *name == text);
                    self.protocol = known.map_or("", |(_, short)| *short);
                    self.follows = known.is_none();
                }
                self.out.extend(framed(&body));
            } else {
                self.out.extend(how.message(self.protocol, &body));
                // What a relay passes on comes after one message.
                self.follows = matches!(self.protocol, "hop" | "stop");
            }
        }
        self.out.append(&mut self.rest);
    }

    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(context, &self.out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(context))?;
        self.pass(bytes);
        // What does not go out now does so before the next bytes, or with the flush.
        if let Poll::Ready(result) = self.poll_drain(context) {
            result?;
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.inner).poll_close(context)
    }
}

//! A rust-libp2p that does one thing wrong and all the rest right: its own stack, with a hand between Yamux and Noise, or in
//! place of its answer to identify. What Noise itself carries is in noise_faults.

use std::{
    io, iter,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    AsyncRead, AsyncWrite, AsyncWriteExt, StreamExt,
    future::{Ready, ready},
};
use libp2p::{
    PeerId, StreamProtocol, Transport,
    core::{
        UpgradeInfo,
        muxing::StreamMuxerBox,
        transport::Boxed,
        upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, Version},
    },
    identity::Keypair,
    tcp, yamux,
};
use libp2p_stream::Control;
use serde_json::json;
use tokio::time::timeout;

use crate::{
    Dialer, Result,
    alter::{Alteration, Altering},
    noise_faults, report, tunnel,
};

const IDENTIFY: StreamProtocol = StreamProtocol::new("/ipfs/id/1.0.0");
const HEADER: usize = 12;
const TRIES: usize = 5;
const PATIENCE: Duration = Duration::from_secs(1);

type FrameFault = fn(&mut Seen, Vec<u8>) -> Vec<Vec<u8>>;

/// What a fault knows of the frames before this one.
#[derive(Default)]
struct Seen {
    frames: usize,
    held: Vec<u8>,
}

fn length(frame: &[u8]) -> u32 {
    u32::from_be_bytes(frame[8..HEADER].try_into().expect("four bytes"))
}

fn with_length(mut frame: Vec<u8>, length: u32) -> Vec<Vec<u8>> {
    frame[8..HEADER].copy_from_slice(&length.to_be_bytes());
    vec![frame]
}

const YAMUX: &[(&str, FrameFault)] = &[
    // A frame says that it is longer than it is, once the connection runs: the next header is taken for its body.
    ("length", |seen, frame| match seen.frames {
        6 => { let told = length(&frame) + 5; with_length(frame, told) }
        _ => vec![frame],
    }),
    ("short", |seen, frame| match frame.len() {
        size if size > HEADER && seen.frames >= 6 => with_length(frame, (size - HEADER - 1) as u32),
        _ => vec![frame],
    }),
    ("type", |seen, mut frame| { frame[1] += 9 * u8::from(seen.frames == 5); vec![frame] }),
    ("version", |seen, mut frame| { frame[0] += u8::from(seen.frames == 5); vec![frame] }),
    ("stream", |seen, mut frame| { frame[7] ^= u8::from(seen.frames % 4 == 3); vec![frame] }),
    ("drop", |seen, frame| if seen.frames % 5 == 4 { vec![] } else { vec![frame] }),
    ("twice", |_, frame| vec![frame.clone(), frame]),
    ("reorder", |seen, frame| match seen.frames % 2 {
        0 => { seen.held = frame; vec![] }
        _ => vec![frame, std::mem::take(&mut seen.held)],
    }),
    // rust-libp2p has seldom reason to widen a window here, so each frame of data has a widening behind it.
    ("window", |_, frame| match frame[1] {
        0 => {
            let widening = [&[0, 1, 0, 0], &frame[4..8], &[0xff; 4]].concat();
            vec![frame, widening]
        }
        _ => vec![frame],
    }),
];

/// With a length in front that is right.
const GARBAGE: [u8; 202] = {
    let mut bytes = [0xff; 202];
    [bytes[0], bytes[1]] = [200, 1];
    bytes
};

const IDENTIFY_ANSWERS: &[(&str, &[u8])] = &[
    ("identify-empty", &[]),
    ("identify-length", &[0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3]),
    ("identify-truncated", &[100, 10, 36, 8, 1]),
    ("identify-garbage", &GARBAGE),
    ("identify-no-key", &[2, 0x32, 0]),
];

fn named<T: Copy>(list: &[(&'static str, T)], name: &str) -> Option<T> {
    list.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

pub fn names() -> Vec<&'static str> {
    let yamux = YAMUX.iter().map(|(name, _)| *name);
    let identify = IDENTIFY_ANSWERS.iter().map(|(name, _)| *name);
    yamux.chain(identify).chain(noise_faults::names()).collect()
}

/// Whether somebody else than rust-libp2p answers identify.
pub fn answers_identify(fault: &str) -> bool {
    named(IDENTIFY_ANSWERS, fault).is_some()
}

pub fn answer_identify(control: &mut Control, fault: &str) -> Result<()> {
    let Some(answer) = named(IDENTIFY_ANSWERS, fault) else {
        return Ok(());
    };
    let mut asked = control.accept(IDENTIFY)?;
    tokio::spawn(async move {
        while let Some((_, mut stream)) = asked.next().await {
            let _ = stream.write_all(answer).await;
            let _ = stream.close().await;
        }
    });
    Ok(())
}

pub fn transport(key: &Keypair, fault: &'static str) -> Result<Boxed<(PeerId, StreamMuxerBox)>> {
    Ok(tcp::tokio::Transport::new(tcp::Config::default())
        .upgrade(Version::V1Lazy)
        .authenticate(noise_faults::Security::new(key, fault)?)
        .multiplex(Muxer::new(fault))
        .boxed())
}

/// Dials with the fault and uses the connection for a while; how that ends is the other side's affair.
pub async fn misbehave(addr: &str, key: Keypair, fault: &str) -> Result<()> {
    let fault = *names().iter().find(|name| **name == fault).ok_or("unknown fault")?;
    let own = key.public().to_peer_id().to_string();
    let mut worked = 0;
    if let Ok(Ok(mut dialer)) = timeout(TRIES as u32 * PATIENCE, Dialer::new_with(addr, key, fault)).await {
        for _ in 0..TRIES {
            let opened = timeout(PATIENCE, tunnel::open(&mut dialer.control, dialer.peer, "echo")).await;
            if let Ok(Ok(mut stream)) = opened {
                worked += 1;
                let _ = timeout(PATIENCE, async {
                    stream.write_all(&[0; 100_000]).await?;
                    stream.close().await
                })
                .await;
            }
        }
    }
    if let Some(wanted) = noise_faults::goes_on(fault) {
        worked += noise_faults::went_on();
        if (worked > 0) != wanted {
            return Err(format!("{worked} times it went on after {fault}").into());
        }
    }
    report(json!({"event": "misbehave", "ok": true, "worked": worked, "how": fault, "peer": own}));
    Ok(())
}

/// rust-libp2p's Yamux over a connection that changes its frames.
#[derive(Clone)]
pub struct Muxer(FrameFault, Option<Arc<Alteration>>);

impl Muxer {
    pub fn new(fault: &str) -> Self {
        Self(named(YAMUX, fault).unwrap_or(|_, frame| vec![frame]), Alteration::parse(fault))
    }
}

impl UpgradeInfo for Muxer {
    type Info = &'static str;
    type InfoIter = iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        yamux::Config::default().protocol_info()
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> InboundConnectionUpgrade<C> for Muxer {
    type Output = Altering<yamux::Muxer<Hand<C>>>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Output>>;

    fn upgrade_inbound(self, inner: C, info: Self::Info) -> Self::Future {
        let upgraded = yamux::Config::default().upgrade_inbound(Hand::new(inner, self.0), info).into_inner();
        ready(upgraded.map(|muxer| Altering(muxer, self.1)))
    }
}

impl<C: AsyncRead + AsyncWrite + Send + Unpin + 'static> OutboundConnectionUpgrade<C> for Muxer {
    type Output = Altering<yamux::Muxer<Hand<C>>>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Output>>;

    fn upgrade_outbound(self, inner: C, info: Self::Info) -> Self::Future {
        let upgraded = yamux::Config::default().upgrade_outbound(Hand::new(inner, self.0), info).into_inner();
        ready(upgraded.map(|muxer| Altering(muxer, self.1)))
    }
}

/// Changes the frames that are written through it, one by one.
pub struct Hand<C> {
    inner: C,
    fault: FrameFault,
    seen: Seen,
    rest: Vec<u8>,
    out: Vec<u8>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Hand<C> {
    fn new(inner: C, fault: FrameFault) -> Self {
        Self { inner, fault, seen: Seen::default(), rest: vec![], out: vec![] }
    }

    /// Puts the frames that are whole, as the fault would have them, into what goes out.
    fn pass(&mut self) {
        while self.rest.len() >= HEADER {
            let body = if self.rest[1] == 0 { length(&self.rest) as usize } else { 0 };
            if self.rest.len() < HEADER + body {
                break;
            }
            let frame = self.rest.drain(..HEADER + body).collect();
            for changed in (self.fault)(&mut self.seen, frame) {
                self.out.extend(changed);
            }
            self.seen.frames += 1;
        }
    }

    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let written = std::task::ready!(Pin::new(&mut self.inner).poll_write(context, &self.out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncRead for Hand<C> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Hand<C> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_drain(context))?;
        self.rest.extend(bytes);
        self.pass();
        // What does not go out now does so before the next bytes, or with the flush.
        if let Poll::Ready(result) = self.poll_drain(context) {
            result?;
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_drain(context))?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_drain(context))?;
        Pin::new(&mut self.inner).poll_close(context)
    }
}

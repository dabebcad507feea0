//! Faults in what Noise carries: the cipher is in order and the payload within is not. One payload is right, which shows that
//! with the others nothing but the payload is the reason.

use std::{
    io, iter,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, FutureExt, future::BoxFuture};
use libp2p::{
    PeerId,
    core::{
        UpgradeInfo,
        upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade},
    },
    identity::Keypair,
    noise,
};

use crate::Result;

const PATTERN: &str = "Noise_XX_25519_ChaChaPoly_SHA256";
const DOMAIN: &[u8] = b"noise-libp2p-static-key:";
/// What an initiator says next, in the cipher.
const NEXT: &[u8] = b"\x13/multistream/1.0.0\n\x0d/yamux/1.0.0\n";
const RIGHT: &str = "noise-right";
const MOST: usize = 65535;

type Payload = fn(Vec<u8>, Vec<u8>) -> Vec<u8>;

const PAYLOADS: &[(&str, Payload)] = &[
    (RIGHT, |key, signature| [field(1, &key), field(2, &signature)].concat()),
    ("noise-empty", |_, _| vec![]),
    ("noise-no-key", |_, signature| field(2, &signature)),
    ("noise-no-sig", |key, _| field(1, &key)),
    ("noise-wrong-sig", |key, mut signature| {
        signature[0] ^= 1;
        [field(1, &key), field(2, &signature)].concat()
    }),
    ("noise-wrong-key", |mut key, signature| {
        key[9] ^= 1;
        [field(1, &key), field(2, &signature)].concat()
    }),
    ("noise-swapped", |key, signature| [field(1, &signature), field(2, &key)].concat()),
    ("noise-short", |key, signature| [field(1, &key), field(2, &signature)[..40].to_vec()].concat()),
    ("noise-garbage", |_, _| vec![0xff; 11]),
];

static WENT_ON: AtomicUsize = AtomicUsize::new(0);

fn field(number: u8, value: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, value.len() as u8], value].concat()
}

pub fn names() -> impl Iterator<Item = &'static str> {
    PAYLOADS.iter().map(|(name, _)| *name)
}

/// Whether the other side has to go on after this payload; None is no payload of ours.
pub fn goes_on(fault: &str) -> Option<bool> {
    names().any(|name| name == fault).then_some(fault == RIGHT)
}

/// How often the other side has said something after the handshake.
pub fn went_on() -> usize {
    WENT_ON.load(Ordering::Relaxed)
}

/// rust-libp2p's Noise, or a handshake by the book but for its payload, which ends after the other side's next word.
#[derive(Clone)]
pub struct Security {
    honest: noise::Config,
    key: Keypair,
    fault: &'static str,
}

impl Security {
    pub fn new(key: &Keypair, fault: &'static str) -> Result<Self> {
        Ok(Self { honest: noise::Config::new(key)?, key: key.clone(), fault })
    }

    fn payload(&self, fault: Payload, secret: &[u8]) -> Result<Vec<u8>> {
        let signature = self.key.sign(&[DOMAIN, secret].concat())?;
        Ok(fault(self.key.public().encode_protobuf(), signature))
    }

    async fn shake<T>(&self, fault: Payload, mut io: T, initiator: bool) -> Result<()>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let builder = snow::Builder::new(PATTERN.parse()?);
        let own = builder.generate_keypair()?;
        let builder = builder.local_private_key(&own.private)?;
        let mut state = if initiator { builder.build_initiator()? } else { builder.build_responder()? };
        let bad = self.payload(fault, &own.public)?;
        let mut buffer = vec![0; MOST];
        for message in 0..3 {
            if (message % 2 == 0) == initiator {
                let payload = if message > 0 { &bad[..] } else { &[] };
                let size = state.write_message(payload, &mut buffer)?;
                send(&mut io, &buffer[..size]).await?;
            } else {
                let message = receive(&mut io).await?;
                state.read_message(&message, &mut buffer)?;
            }
        }
        let mut cipher = state.into_transport_mode()?;
        if initiator {
            let size = cipher.write_message(NEXT, &mut buffer)?;
            send(&mut io, &buffer[..size]).await?;
        }
        let word = receive(&mut io).await?;
        cipher.read_message(&word, &mut buffer)?;
        WENT_ON.fetch_add(1, Ordering::Relaxed);
        eprintln!("the other side goes on after {}", self.fault);
        Ok(())
    }

    async fn secure<T>(self, io: T, initiator: bool) -> io::Result<(PeerId, noise::Output<T>)>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some((_, fault)) = PAYLOADS.iter().find(|(name, _)| *name == self.fault) else {
            let secured = match initiator {
                true => self.honest.upgrade_outbound(io, "/noise").await,
                false => self.honest.upgrade_inbound(io, "/noise").await,
            };
            return secured.map_err(io::Error::other);
        };
        Err(io::Error::other(match self.shake(*fault, io, initiator).await {
            Ok(()) => "the handshake was all there is".into(),
            Err(error) => error,
        }))
    }
}

async fn send<T: AsyncWrite + Unpin>(io: &mut T, message: &[u8]) -> Result<()> {
    io.write_all(&(message.len() as u16).to_be_bytes()).await?;
    io.write_all(message).await?;
    Ok(io.flush().await?)
}

async fn receive<T: AsyncRead + Unpin>(io: &mut T) -> Result<Vec<u8>> {
    let mut size = [0; 2];
    io.read_exact(&mut size).await?;
    let mut message = vec![0; u16::from_be_bytes(size).into()];
    io.read_exact(&mut message).await?;
    Ok(message)
}

impl UpgradeInfo for Security {
    type Info = &'static str;
    type InfoIter = iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.honest.protocol_info()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> InboundConnectionUpgrade<T> for Security {
    type Output = (PeerId, noise::Output<T>);
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Output>>;

    fn upgrade_inbound(self, io: T, _: Self::Info) -> Self::Future {
        self.secure(io, false).boxed()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> OutboundConnectionUpgrade<T> for Security {
    type Output = (PeerId, noise::Output<T>);
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Output>>;

    fn upgrade_outbound(self, io: T, _: Self::Info) -> Self::Future {
        self.secure(io, true).boxed()
    }
}

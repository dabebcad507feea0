//! AutoNAT, both versions: one server of both, and one question to it.

use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::{
    Multiaddr,
    autonat::{
        self,
        v1::{Event, OutboundProbeError, OutboundProbeEvent},
    },
    identify,
    identity::Keypair,
    swarm::{FromSwarm, NetworkBehaviour, NewExternalAddrCandidate, SwarmEvent},
};
use serde_json::json;

use crate::{
    BehaviourEvent, Extras, Result, ended_by_stdin, keys, new_swarm_with,
    relay::{Options, last_peer, listening},
    report, serve,
};

/// It asks nobody by itself, and nothing is too often.
fn config() -> autonat::v1::Config {
    autonat::v1::Config {
        boot_delay: Duration::from_secs(3600),
        use_connected: false,
        throttle_server_period: Duration::ZERO,
        throttle_clients_global_max: 1000,
        throttle_clients_peer_max: 1000,
        ..Default::default()
    }
}

pub async fn server(key: Keypair, options: Options) -> Result<()> {
    ended_by_stdin();
    let kind = keys::name(&key);
    let mut swarm = new_swarm_with(key, &options.fault, Extras { autonat: Some(config()), autonat_server: true, ..Extras::default() })?;
    serve(&mut swarm)?;
    let address = listening(&mut swarm, options.addr).await?;
    report(json!({"event": "ready", "peer": swarm.local_peer_id().to_string(), "key": kind, "addrs": [address]}));
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::Behaviour(BehaviourEvent::Autonat(event)) => eprintln!("{event:?}"),
            SwarmEvent::Behaviour(BehaviourEvent::AutonatServer(event)) => eprintln!("{event:?}"),
            _ => {}
        }
    }
}

/// Asks about the address at which the server sees this peer, or about another one.
pub async fn ask(key: Keypair, server: &str, options: Options) -> Result<()> {
    let server: Multiaddr = server.parse()?;
    let peer = last_peer(&server)?;
    let mut config = config();
    // Once, when identify has told what to ask about.
    config.boot_delay = Duration::from_secs(1);
    let extras = match options.version {
        1 => Extras { autonat: Some(config), ..Extras::default() },
        2 => Extras { autonat_client: true, ..Extras::default() },
        other => return Err(format!("no such version of AutoNAT: {other}").into()),
    };
    let mut swarm = new_swarm_with(key, &options.fault, extras)?;
    serve(&mut swarm)?;
    listening(&mut swarm, options.addr).await?;
    swarm.dial(server.clone())?;
    let mut asked: Option<(Multiaddr, Instant)> = None;
    loop {
        let event = swarm.select_next_some().await;
        let tell = |reachability: &str, reason: String| {
            let (addr, since) = asked.as_ref().ok_or("an answer before the question")?;
            let ms = since.elapsed().as_micros() as f64 / 1000.0;
            report(json!({"event": "autonat", "version": options.version, "reachability": reachability, "addr": addr, "ms": ms, "reason": reason}));
            Ok(())
        };
        match event {
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error.into()),
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received { info, .. })) if asked.is_none() => {
                let about = options.ask.clone().unwrap_or(info.observed_addr);
                asked = Some((about.clone(), Instant::now()));
                if let Some(client) = swarm.behaviour_mut().autonat_client.as_mut() {
                    client.on_swarm_event(FromSwarm::NewExternalAddrCandidate(NewExternalAddrCandidate { addr: &about }));
                }
                if let Some(first) = swarm.behaviour_mut().autonat.as_mut() {
                    first.add_server(peer, None);
                    first.probe_address(about);
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Autonat(Event::OutboundProbe(event))) => match event {
                OutboundProbeEvent::Response { .. } => return tell("public", String::new()),
                OutboundProbeEvent::Error { error: OutboundProbeError::Response(autonat::v1::ResponseError::DialError), .. } => {
                    return tell("private", String::new());
                }
                // Asked before there was somebody to ask.
                OutboundProbeEvent::Error { error: OutboundProbeError::NoServer, .. } => {}
                OutboundProbeEvent::Error { error, .. } => return tell("unknown", format!("{error:?}")),
                OutboundProbeEvent::Request { .. } => {}
            },
            SwarmEvent::Behaviour(BehaviourEvent::AutonatClient(event)) => {
                if asked.as_ref().is_some_and(|(about, _)| *about != event.tested_addr) {
                    continue;
                }
                return match event.result {
                    Ok(()) => tell("public", format!("{} bytes sent", event.bytes_sent)),
                    Err(error) => tell("private", error.to_string()),
                };
            }
            _ => {}
        }
    }
}

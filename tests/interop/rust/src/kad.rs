//! Kademlia: as a server among others, and one question to them.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm,
    identity::Keypair,
    kad::{
        Behaviour as Kademlia, Config, Event, GetClosestPeersOk, GetProvidersOk, GetRecordOk, Mode,
        PeerInfo, PutRecordError, QueryId, QueryResult, Quorum, Record, RecordKey,
        store::MemoryStore,
    },
    mdns,
    multiaddr::Protocol,
    swarm::SwarmEvent,
};
use serde_json::{Value, json};

use crate::{Behaviour, BehaviourEvent, Result, new_swarm, report};

/// How a listener finds others, and is found.
#[derive(Default)]
pub struct Neighbours {
    pub kad: Option<String>,
    bootstrap: Option<Multiaddr>,
    provide: Option<String>,
    /// Announce what is provided without any address of ours, as whoever knows of no external one does.
    unconfirmed: bool,
    pub mdns: bool,
}

impl Neighbours {
    /// Takes the options of this file out of the arguments.
    pub fn take(arguments: &mut Vec<String>) -> Result<Self> {
        let mut taken = Self::default();
        let mut rest = Vec::new();
        let mut given = arguments.drain(..);
        while let Some(name) = given.next() {
            let mut value = || given.next().ok_or(format!("{name} wants a value"));
            match name.as_str() {
                "--kad" => taken.kad = Some(value()?),
                "--bootstrap" => taken.bootstrap = Some(value()?.parse()?),
                "--provide" => taken.provide = Some(value()?),
                "--unconfirmed" => taken.unconfirmed = true,
                "--mdns" => taken.mdns = true,
                _ => rest.push(name),
            }
        }
        drop(given);
        *arguments = rest;
        Ok(taken)
    }

    /// Before the swarm has any connection: a behaviour has part in those that come after it.
    pub fn put_in(&self, swarm: &mut Swarm<Behaviour>, mode: Mode) -> Result<()> {
        let own = *swarm.local_peer_id();
        if let Some(id) = &self.kad {
            let config = Config::new(StreamProtocol::try_from_owned(id.clone())?);
            let mut kad = Kademlia::with_config(own, MemoryStore::new(own), config);
            kad.set_mode(Some(mode));
            swarm.behaviour_mut().kad = Some(kad).into();
        }
        if self.mdns {
            let config = mdns::Config::default();
            swarm.behaviour_mut().mdns = Some(mdns::tokio::Behaviour::new(config, own)?).into();
        }
        Ok(())
    }

    /// Serves the DHT, if one is wanted, and announces the key, if there is one.
    pub async fn join(&self, swarm: &mut Swarm<Behaviour>, own: Multiaddr) -> Result<()> {
        if self.kad.is_none() {
            return Ok(());
        }
        if !self.unconfirmed {
            swarm.add_external_address(own);
        }
        if let Some(addr) = &self.bootstrap {
            let mut known = Known::default();
            known.meet(swarm, addr).await?;
            let asked = kad(swarm)?.bootstrap()?;
            known.answers(swarm, asked).await?;
        }
        if let Some(key) = &self.provide {
            let asked = kad(swarm)?.start_providing(octets(key)?.into())?;
            Known::default().answers(swarm, asked).await?;
        }
        Ok(())
    }
}

/// Every event of a swarm that serves goes through here.
pub fn hear(swarm: &mut Swarm<Behaviour>, event: &SwarmEvent<BehaviourEvent>) {
    match event {
        SwarmEvent::Behaviour(BehaviourEvent::Identify(event)) => meet_identified(swarm, event),
        SwarmEvent::Behaviour(BehaviourEvent::Mdns(mdns::Event::Discovered(found))) => {
            for (peer, addr) in found {
                report(json!({"event": "mdns", "peer": peer.to_string(), "addrs": [addr]}));
            }
        }
        _ => {}
    }
}

/// Kademlia learns by itself of nobody: whoever says that it serves goes into the table here.
fn meet_identified(swarm: &mut Swarm<Behaviour>, event: &libp2p::identify::Event) {
    let Some(kad) = swarm.behaviour_mut().kad.as_mut() else {
        return;
    };
    if let libp2p::identify::Event::Received { peer_id, info, .. } = event
        && kad
            .protocol_names()
            .iter()
            .any(|name| info.protocols.contains(name))
    {
        for addr in &info.listen_addrs {
            kad.add_address(peer_id, addr.clone());
        }
    }
}

fn kad(swarm: &mut Swarm<Behaviour>) -> Result<&mut Kademlia<MemoryStore>> {
    Ok(swarm
        .behaviour_mut()
        .kad
        .as_mut()
        .ok_or("--kad is missing")?)
}

/// The text, or with 0x before it what its digits mean.
fn octets(text: &str) -> Result<Vec<u8>> {
    let Some(digits) = text.strip_prefix("0x") else {
        return Ok(text.into());
    };
    (0..digits.len())
        .step_by(2)
        .map(|at| {
            Ok(u8::from_str_radix(
                digits.get(at..at + 2).ok_or("odd number of digits")?,
                16,
            )?)
        })
        .collect()
}

/// What is heard of others on the way.
#[derive(Default)]
struct Known {
    /// Where connections lead.
    reached: HashMap<PeerId, Multiaddr>,
}

impl Known {
    /// Answers what a query brought last, or the first result of some that are worth having.
    async fn answers(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        asked: QueryId,
    ) -> Result<QueryResult> {
        loop {
            match self.event(swarm).await {
                SwarmEvent::Behaviour(BehaviourEvent::Kad(Event::OutboundQueryProgressed {
                    id,
                    result,
                    step,
                    ..
                })) if id == asked => {
                    let worth = match &result {
                        QueryResult::GetProviders(Ok(GetProvidersOk::FoundProviders {
                            providers,
                            ..
                        })) => !providers.is_empty(),
                        QueryResult::GetRecord(Ok(GetRecordOk::FoundRecord(_))) => true,
                        _ => step.last,
                    };
                    if worth {
                        return Ok(result);
                    }
                }
                _ => {}
            }
        }
    }

    async fn event(&mut self, swarm: &mut Swarm<Behaviour>) -> SwarmEvent<BehaviourEvent> {
        let event = swarm.select_next_some().await;
        hear(swarm, &event);
        if let SwarmEvent::ConnectionEstablished {
            peer_id, endpoint, ..
        } = &event
        {
            self.reached
                .insert(*peer_id, endpoint.get_remote_address().clone());
        }
        event
    }

    /// The providers that can be reached: of their addresses this library tells only by dialling them.
    async fn reachable(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peers: HashSet<PeerId>,
    ) -> Result<Value> {
        for peer in &peers {
            if self.reached.contains_key(peer) {
                continue;
            }
            swarm.dial(*peer)?;
            while !self.reached.contains_key(peer) {
                if let SwarmEvent::OutgoingConnectionError { peer_id, error, .. } =
                    self.event(swarm).await
                    && peer_id.as_ref() == Some(peer)
                {
                    return Err(error.into());
                }
            }
        }
        Ok(peers
            .iter()
            .map(|id| json!({"peer": id.to_string(), "addrs": [self.reached[id]]}))
            .collect())
    }

    /// Until it has said that it serves.
    async fn meet(&mut self, swarm: &mut Swarm<Behaviour>, addr: &Multiaddr) -> Result<()> {
        let Some(Protocol::P2p(peer)) = addr.iter().last() else {
            return Err("the bootstrap address does not end in /p2p/ID".into());
        };
        swarm.dial(addr.clone())?;
        while kad(swarm)?
            .kbucket(peer)
            .is_none_or(|bucket| bucket.is_empty())
        {
            if let SwarmEvent::OutgoingConnectionError { error, .. } = self.event(swarm).await {
                return Err(error.into());
            }
        }
        Ok(())
    }
}

fn infos(peers: impl IntoIterator<Item = PeerInfo>) -> Value {
    peers
        .into_iter()
        .map(|info| json!({"peer": info.peer_id.to_string(), "addrs": info.addrs}))
        .collect()
}

/// `dht OP KEY [VALUE]`
pub async fn ask(key: Keypair, others: &Neighbours, arguments: &[String]) -> Result<()> {
    let mut swarm = new_swarm(key, false, Duration::from_secs(15), "")?;
    others.put_in(&mut swarm, Mode::Client)?;
    let mut known = Known::default();
    known
        .meet(
            &mut swarm,
            others.bootstrap.as_ref().ok_or("--bootstrap is missing")?,
        )
        .await?;
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let dht = kad(&mut swarm)?;
    let asked = match words[..] {
        ["put", key, value] => {
            let record = Record::new(RecordKey::from(octets(key)?), value.into());
            // It is a quorum of 20 even where there are fewer, but so it asks all of them before it ends.
            dht.put_record(record, Quorum::All)?
        }
        ["get", key] => dht.get_record(octets(key)?.into()),
        ["providers", key] => dht.get_providers(octets(key)?.into()),
        ["find", peer] => dht.get_closest_peers(peer.parse::<PeerId>()?),
        ["closest", key] => dht.get_closest_peers(octets(key)?),
        _ => return Err(format!("cannot do: dht {}", arguments.join(" ")).into()),
    };
    let (name, value) = match known.answers(&mut swarm, asked).await? {
        QueryResult::PutRecord(Err(PutRecordError::QuorumFailed { success, .. }))
            if !success.is_empty() =>
        {
            ("", json!(null))
        }
        QueryResult::PutRecord(result) => result.map(|_| ("", json!(null)))?,
        QueryResult::GetRecord(result) => match result? {
            GetRecordOk::FoundRecord(found) => {
                ("value", json!(String::from_utf8_lossy(&found.record.value)))
            }
            _ => return Err("the record was not found".into()),
        },
        QueryResult::GetProviders(result) => match result? {
            GetProvidersOk::FoundProviders { providers, .. } => {
                ("providers", known.reachable(&mut swarm, providers).await?)
            }
            _ => ("providers", json!([])),
        },
        QueryResult::GetClosestPeers(result) => {
            let GetClosestPeersOk { mut peers, .. } = result?;
            if words[0] == "find" {
                peers.retain(|info| info.peer_id.to_string() == words[1]);
                if peers.is_empty() {
                    return Err("the peer was not found".into());
                }
            }
            ("peers", infos(peers))
        }
        other => return Err(format!("an answer to something else: {other:?}").into()),
    };
    let mut answer = json!({"event": "dht", "op": words[0], "ok": true});
    if !name.is_empty() {
        answer[name] = value;
    }
    report(answer);
    Ok(())
}

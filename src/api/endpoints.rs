//! Which address a client is told for each broker.

use crate::{
    api::{Peer, Services},
    metadata::Image,
    model::NodeId,
};

/// A broker as the client that asks can reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub node_id: NodeId,
    pub host: String,
    pub port: i32,
    pub rack: Option<String>,
    pub fenced: bool,
}

impl Services {
    /// The brokers, each with its address on the listener that `peer` came by.
    pub fn endpoints(&self, image: &Image, peer: &Peer) -> Vec<Endpoint> {
        image
            .brokers()
            .filter_map(|broker| {
                let (host, port) = if broker.id == self.node_id {
                    self.own_address(peer)?
                } else {
                    let listener = broker.listeners.iter().find(|listener| *listener.name == *peer.listener)?;
                    (listener.host.clone(), listener.port)
                };
                Some(Endpoint {
                    node_id: broker.id,
                    host,
                    port: i32::from(port),
                    rack: broker.rack.clone(),
                    fenced: broker.fenced,
                })
            })
            .collect()
    }

    fn own_address(&self, peer: &Peer) -> Option<(String, u16)> {
        let listener = self.config.listeners.iter().find(|listener| listener.name == *peer.listener)?;
        Some(listener.advertise(peer.local))
    }
}

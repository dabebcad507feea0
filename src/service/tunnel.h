/* The tunnel service: local services offered to peers, and services of peers made local.
 * Composed and called by src/service/peer.c. Wire: spec/wire/tunnel.wire. */
#pragma once
#include "service/peer.h"
#include "service/pipe.h"
#include "service/publish.h"
#include "service/resolve.h"
#include "listener.gen.h"
#include "tunnel.wire.gen.h"
#include "tunnel_consumer.gen.h"
#include "tunnel_provider.gen.h"

#define PG_MAX_EXPOSED 64u
#define PG_MAX_FORWARDS 128u
#define PG_TUNNEL_SMALL 512u /* bytes of a message in pieces that need no chunk */

/* One --expose. Its texts are its own; it stays as long as a tunnel uses it. */
struct pg_exposed {
    struct pg_exposed *next;
    struct pg_peer_expose is;
    struct pg_publish publish;
    uint32_t id, users, clients;       /* tunnels that know it; those that are open */
    uint64_t to_service, from_service; /* bytes of tunnels that have ended */
    char text[];
};

/* One --tunnel or --tunnel-by-name: a local listener and its clients. */
struct pg_forward;

struct pg_tunnels {
    struct pg_node *node;
    struct pg_pool consumers, providers;
    struct pg_tunnel_consumer *consumer_list, **consumer_end; /* in the order they came: who waits longest is served first */
    struct pg_tunnel_consumer *waiting, **waiting_end;          /* for a peer or for room on it, in the same order */
    struct pg_tunnel_provider *provider_list;
    struct pg_exposed *exposed, *retired; /* retired: not offered any more, still in use */
    struct pg_forward *forwards, *retired_forwards;
    struct pg_pipe *doomed;
    uint32_t n_exposed, n_forwards, n_running;
    uint64_t wait_ms;
    uint32_t next_key, next_id;
    bool direct_only;    /* --path direct */
    bool started, looked; /* looked: some look-up has ended in this turn */
    struct pg_bytes exposed_names[PG_MAX_EXPOSED], wanted_names[PG_MAX_FORWARDS]; /* for the control plane */
};

bool pg_tunnels_init(struct pg_tunnels *, struct pg_node *, uint32_t at_once);
void pg_tunnels_free(struct pg_tunnels *);
/* False when memory is short, there are too many of them or the name is exposed already. Texts are copied. */
bool pg_tunnels_expose(struct pg_tunnels *, const struct pg_peer_expose *);
bool pg_tunnels_forward(struct pg_tunnels *, const struct pg_peer_forward *);
void pg_tunnels_start(struct pg_tunnels *);
/* Other lists are wanted from now on: PG_INPUT_RELOAD. Tunnels that run go on to their ends, whatever the lists say. */
void pg_tunnels_reload(struct pg_tunnels *, struct pg_bytes lists);
void pg_tunnels_peer_up(struct pg_tunnels *, struct pg_session *);
void pg_tunnels_peer_lost(struct pg_tunnels *, const struct pg_peer_id *); /* its last connection */
void pg_tunnels_peer_silent(struct pg_tunnels *, const struct pg_peer_id *); /* nothing is heard on any connection with it */
/* Clients that wait for this peer are served while there is room. */
void pg_tunnels_wake(struct pg_tunnels *, struct pg_session *);
/* What has become of the ways to a peer that was reached over a relay. */
void pg_tunnels_path(struct pg_tunnels *, const struct pg_peer_id *, enum pg_path_news, struct pg_bytes reason);
/* Services by name, as the node's hooks say. */
void pg_tunnels_provide(struct pg_tunnels *, struct pg_bytes name);
void pg_tunnels_record(struct pg_tunnels *, struct pg_bytes name);
void pg_tunnels_find(struct pg_tunnels *, struct pg_bytes wanted);
void pg_tunnels_company(struct pg_tunnels *);
void pg_tunnels_provided(struct pg_tunnels *, struct pg_bytes key, const struct pg_kad_contact *);
void pg_tunnels_moved(struct pg_tunnels *);
void pg_tunnels_hide(struct pg_tunnels *); /* announces and looks for nothing any more */
void pg_tunnels_name(struct pg_tunnels *); /* tells the control plane what is exposed and what is wanted */
void pg_tunnels_stop(struct pg_tunnels *);
void pg_tunnels_cut(struct pg_tunnels *);
/* A machine has ended; those of tunnels are freed by the reap that follows the turn. */
void pg_tunnels_finished(struct pg_tunnels *, struct pg_instance *);
void pg_tunnels_reap(struct pg_tunnels *);
static inline uint32_t pg_tunnels_busy(const struct pg_tunnels *t)
{
    return t->n_running;
}

/* A client that is no socket of a forward: standard input and output of the pipe command. */
void pg_tunnel_consumer_piped(struct pg_tunnels *, const struct pg_peer_id *, struct pg_bytes service, struct pg_link *);
/* Frees every tunnel, without a word to anybody. */
void pg_tunnels_end(struct pg_tunnels *);

/* What status shows of a forward. */
struct pg_forward_view {
    struct pg_bytes peer, service, bind;
    bool listening;
    uint32_t id, clients;
    uint64_t to_remote, from_remote; /* bytes so far */
    const struct pg_resolve *resolve; /* NULL: its peer and where that is are said */
    struct pg_bytes waits_for;        /* empty: for nothing */
    bool by_name;
};
bool pg_tunnels_view(const struct pg_tunnels *, uint32_t i, struct pg_forward_view *);
struct pg_exposed_view {
    const struct pg_peer_expose *is;
    struct pg_bytes published; /* how far its announcement is */
    uint32_t id, clients, told; /* told: peers that have its record, ourselves apart */
    uint64_t to_service, from_service;
};
bool pg_exposed_view(const struct pg_tunnels *, uint32_t i, struct pg_exposed_view *);
/* HOST:PORT or unix:/PATH of a service. */
#define PG_TARGET_TEXT 300
void pg_target_text(const struct pg_peer_expose *, char out[PG_TARGET_TEXT]);

/* HOST:PORT, an IPv6 address in brackets: how logs show local sockets. */
#define PG_ENDPOINT_TEXT 64
void pg_endpoint_text(const struct pg_endpoint *, char out[PG_ENDPOINT_TEXT]);

/* For tunnel_consumer.c and tunnel_provider.c. */
struct pg_tunnel_consumer {
    struct pg_pipe pipe; /* first: its owner is the local link's */
    struct pg_instance in;
    struct pg_timer timers[PG_TUNNEL_CONSUMER_TIMERS];
    struct pg_tunnels *tunnels;
    struct pg_forward *forward;
    struct pg_tunnel_consumer *next, **previous, *next_waiting, **previous_waiting;
    struct pg_frame frame;
    void *room; /* chunk for a long answer in pieces */
    uint8_t small[PG_TUNNEL_SMALL];
    uint64_t came_us;
    struct pg_peer_id asked; /* whom we have asked last: by name another may be in use by now */
    char reason[256];
};
struct pg_tunnel_provider {
    struct pg_pipe pipe;
    struct pg_instance in;
    struct pg_timer timers[PG_TUNNEL_PROVIDER_TIMERS];
    struct pg_tunnels *tunnels;
    struct pg_tunnel_provider *next, **previous;
    struct pg_exposed *service;
    struct pg_queue early; /* bytes that came before the service was connected */
    struct pg_frame frame;
    void *room;
    uint8_t small[PG_TUNNEL_SMALL];
    char name[256], peer[PG_PEER_ID_TEXT], reason[320];
    bool ended_early;
};
/* expose.c: whose name it is, or NULL; whether this peer may open it; one more and one less who uses it. */
struct pg_exposed *pg_exposed_find(const struct pg_tunnels *, struct pg_bytes name);
bool pg_exposed_allows(const struct pg_exposed *, const struct pg_peer_id *);
void pg_exposed_use(struct pg_exposed *);
void pg_exposed_leave(struct pg_tunnels *, struct pg_exposed *);
void pg_exposed_free_all(struct pg_tunnels *);
/* For reload.c: how many services and tunnels it has begun, ended and changed. */
struct pg_reload_count {
    uint64_t begun, ended, changed;
};
void pg_exposed_reload(struct pg_tunnels *, const struct pg_peer_expose *, uint32_t n, struct pg_reload_count *);
/* Ends those that are not among n; known[i]: that one runs. Then the others begin. */
void pg_forwards_retire(struct pg_tunnels *, const struct pg_peer_forward *, uint32_t n, bool known[], struct pg_reload_count *);
void pg_forwards_begin(struct pg_tunnels *, const struct pg_peer_forward *, uint32_t n, const bool known[], struct pg_reload_count *);
void pg_forwards_reap(struct pg_tunnels *); /* frees those that have ended and that no client knows any more */
extern const struct pg_handler pg_tunnel_serve;
void pg_tunnel_consumer_arrived(struct pg_tunnels *, struct pg_forward *, struct pg_link *, const struct pg_endpoint *remote);
void pg_tunnel_consumer_stop_waiting(struct pg_tunnel_consumer *);
void pg_tunnel_consumers_give_up(struct pg_tunnels *, struct pg_forward *); /* clients for whose peer nobody looks any more */
/* Clients of the forward that have asked this peer and have no answer yet ask again, whoever has the service then. */
void pg_tunnel_consumers_recall(struct pg_tunnels *, struct pg_forward *, const struct pg_peer_id *);
const struct pg_peer_id *pg_forward_peer(const struct pg_forward *);
struct pg_bytes pg_forward_service(const struct pg_forward *);
void pg_forward_hurry(struct pg_forward *);
void pg_forward_refused(struct pg_forward *, const struct pg_peer_id *asked); /* it has said that it has no such service */
struct pg_resolve *pg_forward_resolve(struct pg_forward *); /* NULL: nobody has to be looked for */
struct pg_forward *pg_forward_next(const struct pg_forward *);
void pg_forward_use(struct pg_forward *); /* one more client, and one less */
void pg_forward_leave(struct pg_forward *);
void pg_forward_count(struct pg_forward *, uint64_t to_remote, uint64_t from_remote); /* bytes of a tunnel that ends */
void pg_forwards_tell(struct pg_tunnels *); /* tells the control plane what came of look-ups */
bool pg_forwards_want(const struct pg_tunnels *, const struct pg_peer_id *); /* some tunnel leads to it */
void pg_forwards_stop(struct pg_tunnels *);
void pg_forward_free_all(struct pg_tunnels *);
/* Where the strings of a message of `text` bytes go: small when they fit, else the turn's arena (base NULL: used up). */
struct pg_arena pg_tunnel_arena(struct pg_node *, uint8_t *small, size_t room, size_t text);
/* As pg_frame_feed; takes a chunk into *room only for a message that is long and in pieces: whoever says nothing costs none. */
enum pg_frame_result pg_tunnel_frame_feed(struct pg_tunnels *, struct pg_frame *, uint8_t small[PG_TUNNEL_SMALL], void **room,
                                          struct pg_bytes *in, struct pg_bytes *text);
/* That chunk back, if there is one. */
void pg_tunnel_room_give(struct pg_tunnels *, void **room);
/* Writes {"accepted":…} or a request behind its length. */
bool pg_tunnel_send(struct pg_stream *, const struct pg_json_table *, const void *message);

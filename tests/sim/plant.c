/* Planted faults: each is what a careless change could do, put between the world and the core, or (by the linker's --wrap)
 * in front of one function of the core that otherwise ships. Called by main.c; see tests/CMakeLists.txt. */
#include "plant.h"

#include "scene.h"

#include <assert.h>

#define PLANTS(X) \
    X(DROP_BYTE, "drop-byte", "a byte of a local client or service is lost") \
    X(REPEAT_BYTE, "repeat-byte", "a byte of a local client or service is another one") \
    X(LOSE_READ, "lose-read", "a socket that was shut for want of credit is not opened again") \
    X(LOSE_END, "lose-end", "the end of a local client or service is not heard") \
    X(EARLY_END, "early-end", "what should be a reset is an orderly end") \
    X(KEEP_LINK, "keep-link", "a link is not freed") \
    X(SPIN, "spin", "the deadline is always now") \
    X(LOSE_DEADLINE, "lose-deadline", "the deadline is told no more") \
    X(KEEP_CHUNKS, "keep-chunks", "a queue is not emptied") \
    X(KEEP_SECRET, "keep-secret", "a key is not freed") \
    X(KEEP_WINDOW, "keep-window", "what was consumed is not given back as window") \
    X(KEEP_WAITING, "keep-waiting", "streams that wait for credit do not get their turn") \
    X(FORGET_PEER, "forget-peer", "a peer that is lost is not sought again") \
    X(KEEP_NEGOTIATION, "keep-negotiation", "a negotiation is not freed") \
    X(LOSE_ANSWER, "lose-answer", "answers about names are not heard") \
    X(LOSE_PATH, "lose-path", "a unix socket is dialled as if it were an address") \
    X(REFUSE_KEY, "refuse-key", "signatures of secp256k1 are not believed") \
    X(ALLOW_ALL, "allow-all", "a service is open to peers that are not allowed") \
    X(KEEP_OFFER, "keep-offer", "a reload leaves what is offered as it was") \
    X(KEEP_TUNNEL, "keep-tunnel", "a reload leaves a tunnel that is not wanted any more") \
    X(FORGET_WISH, "forget-wish", "a reload does not say which peers are wanted") \
    X(CUT_RUNNING, "cut-running", "a reload ends tunnels that run") \
    X(CUT_RELAYED, "cut-relayed", "tunnels over a relay end when a direct connection comes") \
    X(FORGET_SLOT, "forget-slot", "a relay grants reservations and forgets them") \
    X(LOSE_CARRIED, "lose-carried", "a relay loses a byte of a circuit") \
    X(ENDLESS_CIRCUIT, "endless-circuit", "a circuit carries more than it may")

#define NAME(symbol, name, what) symbol,
enum plant { NONE, PLANTS(NAME) };
#undef NAME
#define TEXT(symbol, name, what) {symbol, name},
static const struct { enum plant which; const char *name; } table[] = {PLANTS(TEXT)};
#undef TEXT

static enum plant planted;
static unsigned long chances; /* so far: every third is taken, so that things go right at first */

static bool here(enum plant which)
{
    return planted == which && ++chances % 3 == 0;
}

/* The same for what somebody else would mend at the next opportunity: every one after the first few. */
static bool from_here_on(enum plant which)
{
    return planted == which && ++chances > 3;
}

const char *plant_names(void)
{
#define LINE(symbol, name, what) "\n    " name ": " what
    return PLANTS(LINE);
#undef LINE
}

/* The core, wrapped. */

enum { CORES_MOST = 64, LOCALS_MOST = 2048 };
static struct wrapped {
    struct pg_core core;
    struct pg_link *locals[LOCALS_MOST]; /* sockets of this machine's clients and services, and their listeners */
    unsigned n_locals;
} cores[CORES_MOST];
static unsigned n_cores;

static bool is_local(const struct wrapped *w, const struct pg_link *link)
{
    for (unsigned i = 0; i < w->n_locals; i++)
        if (w->locals[i] == link)
            return true;
    return false;
}

static void add_local(struct wrapped *w, struct pg_link *link)
{
    assert(w->n_locals < LOCALS_MOST);
    w->locals[w->n_locals++] = link;
}

static void input(void *self, const struct pg_input *in, uint64_t now_us)
{
    struct wrapped *w = self;
    struct pg_input changed = *in;
    bool local = in->link && is_local(w, in->link);
    if (in->kind == PG_INPUT_ACCEPTED && local)
        add_local(w, in->fresh);
    if (in->kind == PG_INPUT_RECEIVED && local && in->len > 1 && here(DROP_BYTE)) {
        memmove(changed.data + in->len / 2, changed.data + in->len / 2 + 1, in->len - in->len / 2 - 1);
        changed.len--;
    }
    if (in->kind == PG_INPUT_RECEIVED && local && in->len > 1 && here(REPEAT_BYTE))
        changed.data[in->len / 2] = changed.data[in->len / 2 - 1];
    if (in->kind == PG_INPUT_ENDED && local && here(LOSE_END))
        return;
    if (in->kind == PG_INPUT_RESOLVED && from_here_on(LOSE_ANSWER))
        return;
    w->core.input(w->core.self, &changed, now_us);
}

static bool poll(void *self, struct pg_command *out)
{
    struct wrapped *w = self;
    if (!w->core.poll(w->core.self, out))
        return false;
    bool opens = out->kind == PG_COMMAND_LISTEN || out->kind == PG_COMMAND_DIAL;
    if (opens && out->mode != (out->kind == PG_COMMAND_LISTEN ? (int)PG_LISTEN_PEER : (int)PG_DIAL_PEER))
        add_local(w, out->link);
    bool local = out->link && is_local(w, out->link);
    if (out->kind == PG_COMMAND_READ && local && here(LOSE_READ))
        return poll(self, out);
    if (out->kind == PG_COMMAND_DIAL && out->path.len && here(LOSE_PATH)) {
        out->path = PG_NONE;
        out->endpoint = (struct pg_endpoint){.family = 4, .ip = {127, 0, 0, 1}, .port = 1};
    }
    if (out->kind == PG_COMMAND_RESET && local && here(EARLY_END))
        out->kind = PG_COMMAND_CLOSE;
    return true;
}

static uint64_t deadline(void *self)
{
    struct wrapped *w = self;
    uint64_t at = w->core.deadline(w->core.self);
    return planted == SPIN && at != UINT64_MAX ? 0 : from_here_on(LOSE_DEADLINE) ? UINT64_MAX : at;
}

static size_t want(void *self, struct pg_link *link)
{
    struct wrapped *w = self;
    return w->core.want(w->core.self, link);
}

static struct pg_link *link_new(void *self)
{
    struct wrapped *w = self;
    return w->core.link(w->core.self);
}

static void link_free(void *self, struct pg_link *link)
{
    struct wrapped *w = self;
    for (unsigned i = 0; i < w->n_locals; i++)
        if (w->locals[i] == link)
            w->locals[i--] = w->locals[--w->n_locals];
    if (!here(KEEP_LINK))
        w->core.unlink(w->core.self, link);
}

static struct pg_core wrap(struct pg_core core)
{
    assert(n_cores < CORES_MOST);
    struct wrapped *w = &cores[n_cores++];
    w->core = core;
    w->n_locals = 0;
    return (struct pg_core){.self = w, .input = input, .poll = poll, .deadline = deadline, .want = want, .link = link_new, .unlink = link_free};
}

bool plant_begin(const char *name)
{
    planted = NONE;
    chances = n_cores = 0;
    scene_wrap = NULL;
    for (unsigned i = 0; name && i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0)
            planted = table[i].which;
    if (planted != NONE)
        scene_wrap = wrap;
    return !name || planted != NONE;
}

/* Functions of the core, wrapped by the linker. */

#define WRAPPED(name, parameters, arguments, is_planted) \
    void __real_##name parameters; \
    void __wrap_##name parameters; \
    void __wrap_##name parameters \
    { \
        if (!(is_planted)) \
            __real_##name arguments; \
    }
WRAPPED(pg_queue_clear, (struct pg_queue *q), (q), here(KEEP_CHUNKS))
WRAPPED(pg_secret_free, (struct pg_secret *s), (s), here(KEEP_SECRET))
WRAPPED(pg_stream_consumed, (struct pg_stream *s, size_t n), (s, n), here(KEEP_WINDOW))
WRAPPED(pg_yamux_writable, (struct pg_yamux_session *y), (y), from_here_on(KEEP_WAITING))
WRAPPED(pg_contacts_peer_lost, (struct pg_node *n, const struct pg_peer_id *p), (n, p), from_here_on(FORGET_PEER))
WRAPPED(pg_exposed_reload, (struct pg_tunnels *t, const struct pg_peer_expose *list, uint32_t n, struct pg_reload_count *count), (t, list, n, count),
        planted == KEEP_OFFER)
WRAPPED(pg_forwards_retire, (struct pg_tunnels *t, const struct pg_peer_forward *list, uint32_t n, bool known[], struct pg_reload_count *count),
        (t, list, n, known, count), planted == KEEP_TUNNEL)
WRAPPED(pg_node_wish, (struct pg_node *n, const struct pg_wish *wishes, uint32_t count), (n, wishes, count), planted == FORGET_WISH)
WRAPPED(pg_negotiation_give, (struct pg_pool *pool, struct pg_negotiation **n), (pool, n), here(KEEP_NEGOTIATION))

void __real_pg_tunnels_reload(struct pg_tunnels *, struct pg_bytes lists);
void __wrap_pg_tunnels_reload(struct pg_tunnels *, struct pg_bytes lists);
void __wrap_pg_tunnels_reload(struct pg_tunnels *t, struct pg_bytes lists)
{
    __real_pg_tunnels_reload(t, lists);
    if (planted == CUT_RUNNING)
        pg_tunnels_cut(t);
}

bool __real_pg_exposed_allows(const struct pg_exposed *, const struct pg_peer_id *);
bool __wrap_pg_exposed_allows(const struct pg_exposed *, const struct pg_peer_id *);
bool __wrap_pg_exposed_allows(const struct pg_exposed *e, const struct pg_peer_id *peer)
{
    return __real_pg_exposed_allows(e, peer) || here(ALLOW_ALL);
}

bool __real_pg_verify(const struct pg_public_key *, struct pg_bytes message, struct pg_bytes signature);
bool __wrap_pg_verify(const struct pg_public_key *, struct pg_bytes message, struct pg_bytes signature);
bool __wrap_pg_verify(const struct pg_public_key *key, struct pg_bytes message, struct pg_bytes signature)
{
    return __real_pg_verify(key, message, signature) && !(key->type == PG_KEY_SECP256K1 && from_here_on(REFUSE_KEY));
}

bool __real_pg_relay_leg_is_busy(const struct pg_relay_leg *);
bool __wrap_pg_relay_leg_is_busy(const struct pg_relay_leg *);
bool __wrap_pg_relay_leg_is_busy(const struct pg_relay_leg *r)
{
    return __real_pg_relay_leg_is_busy(r) && planted != CUT_RELAYED;
}

WRAPPED(pg_slot_take, (struct pg_session *s), (s), planted == FORGET_SLOT)

enum pg_flow_taken __real_pg_flow_take(struct pg_flow *, struct pg_bytes);
enum pg_flow_taken __wrap_pg_flow_take(struct pg_flow *, struct pg_bytes);
enum pg_flow_taken __wrap_pg_flow_take(struct pg_flow *f, struct pg_bytes data)
{
    data.len -= data.len > 1 && here(LOSE_CARRIED);
    return __real_pg_flow_take(f, data);
}

void __real_pg_flow_init(struct pg_flow *, struct pg_transport *, struct pg_stream *from, uint64_t most, struct pg_instance *owner, uint32_t key);
void __wrap_pg_flow_init(struct pg_flow *, struct pg_transport *, struct pg_stream *from, uint64_t most, struct pg_instance *owner, uint32_t key);
void __wrap_pg_flow_init(struct pg_flow *f, struct pg_transport *t, struct pg_stream *from, uint64_t most, struct pg_instance *owner, uint32_t key)
{
    __real_pg_flow_init(f, t, from, planted == ENDLESS_CIRCUIT ? 0 : most, owner, key);
}

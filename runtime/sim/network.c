/* The simulated network as the systems of its hosts see it: connections, bytes under way, ends, resets, refusals.
 * Called by process.c for cores and by script.c for clients and services. Behaves as TCP on Linux does where a program
 * could tell: order, half-closes, a reset for who closes with bytes unread or writes to a closed end. */
#include "sim/sim_internal.h"

#include "errors.gen.h"

#include <assert.h>

/* SIM_LOST_US: what Linux waits at least before it sends anew. */
enum { MOST_PIECES = 3, SIM_LOST_US = 200000, SIM_SENT_AGAIN_US = 2000000, SIM_SYN_AGAIN_US = 1000000, SYN_RETRIES = 6 };

struct pg_sim_path *sim_path(struct pg_sim *s, const struct pg_sim_socket *k)
{
    return pg_sim_path(s, k->host, k->other ? k->other->host : k->host);
}

static void news(struct pg_sim_socket *k, enum pg_sim_news what)
{
    if (k->closed)
        return;
    if (k->process)
        sim_process_news(k, what);
    else if (k->listening)
        sim_script_arrival(k);
    else if (k->user)
        k->user->news(k->context, k, what);
}

struct pg_sim_socket *sim_socket(struct pg_sim *s, unsigned host)
{
    struct pg_sim_socket *k = sim_take(sizeof *k);
    k->sim = s;
    k->host = host;
    k->number = ++s->n_sockets;
    k->room = s->rules.buffer;
    k->next = s->sockets;
    s->sockets = k;
    return k;
}

static bool is_loopback(const struct pg_endpoint *e)
{
    return e->family == PG_SIM_UNIX || (e->family == 4 && e->ip[0] == 127);
}

static bool same_place(const struct pg_endpoint *a, const struct pg_endpoint *b)
{
    return a->family == b->family && a->port == b->port && memcmp(a->ip, b->ip, a->family == 4 ? 4 : sizeof a->ip) == 0;
}

/* The host of an address; SIM_NOWHERE: none has it. */
static unsigned host_of(const struct pg_sim *s, const struct pg_endpoint *e, unsigned asking)
{
    unsigned n = (unsigned)e->ip[1] << 16 | (unsigned)e->ip[2] << 8 | e->ip[3];
    if (is_loopback(e))
        return asking;
    if (s->routers) {
        struct pg_endpoint own = pg_sim_inside(s, asking, e->port);
        return same_place(&own, e) ? asking : SIM_NOWHERE;
    }
    return e->family != 4 || e->ip[0] != 10 || n == 0 || n > s->n_hosts ? (unsigned)SIM_NOWHERE : n - 1;
}

/* Places: sockets that are not given up, by where they are. */

static size_t place(const struct pg_endpoint *local)
{
    uint32_t address;
    memcpy(&address, local->ip, sizeof address);
    uint64_t mixed = ((uint64_t)address << 16 | local->port) * 0x9e3779b97f4a7c15u;
    return mixed >> 40 & (SIM_PLACES - 1);
}

static void settle(struct pg_sim_socket *k)
{
    struct pg_sim_socket **head = &(k->listening ? k->sim->listeners : k->sim->places)[place(&k->local)];
    k->next_place = *head;
    k->previous_place = head;
    if (*head)
        (*head)->previous_place = &k->next_place;
    *head = k;
}

static void unsettle(struct pg_sim_socket *k)
{
    if (!k->previous_place)
        return;
    *k->previous_place = k->next_place;
    if (k->next_place)
        k->next_place->previous_place = k->previous_place;
    k->previous_place = NULL;
}

/* Listening. */

static struct pg_sim_socket *listener_at(struct pg_sim *s, unsigned host, const struct pg_endpoint *at)
{
    for (struct pg_sim_socket *k = s->listeners[place(at)]; k; k = k->next_place)
        if (k->host == host && same_place(&k->local, at))
            return k;
    return NULL;
}

bool sim_listen(struct pg_sim_socket *k, const struct pg_endpoint *at)
{
    struct pg_sim *s = k->sim;
    k->local = *at;
    if (k->local.port == 0 && k->local.family != PG_SIM_UNIX)
        k->local.port = s->next_port++;
    if (listener_at(s, k->host, &k->local))
        return false;
    k->listening = true;
    settle(k);
    return true;
}

struct pg_sim_socket *sim_accept(struct pg_sim_socket *listener)
{
    struct pg_sim_socket *k = listener->backlog;
    if (k)
        listener->backlog = k->next_backlog;
    return k;
}

/* Bytes under way. */

/* Its machine is off; what runs on that machine alone is not looked at. */
static bool is_down(const struct pg_sim_socket *k)
{
    return k->sim->host_down[k->host] && k->other && k->other->host != k->host;
}

static void tell_reset(void *context, uint64_t argument)
{
    struct pg_sim_socket *k = context;
    (void)argument;
    if (k->reset || k->severed || is_down(k))
        return;
    k->reset = true;
    k->open = k->connecting = false;
    if (k->sim->rules.reset_discards && !pg_sim_is_unix(k))
        k->taken = k->arrived;
    news(k, PG_SIM_LOST);
}

/* A reset from this end, behind what this end has sent already. */
static void send_reset(struct pg_sim_socket *k)
{
    struct pg_sim_socket *to = k->other;
    uint64_t at = k->sim->now_us + sim_path(k->sim, k)->latency_us;
    if (to && !k->severed)
        pg_sim_at(k->sim, at > to->last_arrival_us ? at : to->last_arrival_us, tell_reset, to, 0);
}

static bool held_up(struct pg_sim_socket *k, void (*again)(void *, uint64_t), uint64_t argument)
{
    uint64_t until = sim_path(k->sim, k)->stalled_until_us;
    if (is_down(k))
        until = k->sim->now_us + SIM_SENT_AGAIN_US;
    if (until <= k->sim->now_us)
        return false;
    pg_sim_at(k->sim, until, again, k, argument); /* in the order they came: events of one time keep theirs */
    return true;
}

static void arrive(void *context, uint64_t n)
{
    struct pg_sim_socket *k = context;
    if (k->severed || k->reset || held_up(k, arrive, n))
        return;
    k->arrived += n;
    k->moved_us = k->sim->now_us;
    if (k->closed) {
        k->taken = k->arrived;
        send_reset(k); /* nobody reads here any more */
        return;
    }
    if (!k->listening && !k->connecting)
        news(k, PG_SIM_READABLE);
}

static void arrive_end(void *context, uint64_t argument)
{
    struct pg_sim_socket *k = context;
    if (k->severed || k->reset || held_up(k, arrive_end, argument))
        return;
    k->fin_arrived = true;
    news(k, PG_SIM_READABLE);
}

/* The system gives a connection up when nothing answers for long. */
static void check_answered(void *context, uint64_t written)
{
    struct pg_sim_socket *k = context; /* the one that was written to */
    struct pg_sim_socket *writer = k->other;
    if (k->arrived >= written || !writer || writer->closed || writer->reset)
        return;
    writer->reset = true;
    writer->open = false;
    writer->failure = PG_ERR_TIMEOUT;
    k->severed = true;
    news(writer, PG_SIM_LOST);
}

/* Nothing arrives any more, and nobody is told. */
static void sever(struct pg_sim_socket *k)
{
    k->severed = true;
    if (k->written > k->arrived)
        pg_sim_at(k->sim, k->sim->now_us + SIM_UNANSWERED_US, check_answered, k, k->written);
}

/* One moment on the wire: when what is sent now arrives. */
static uint64_t arrival(struct pg_sim_socket *to, size_t n)
{
    struct pg_sim *s = to->sim;
    const struct pg_sim_path *path = sim_path(s, to);
    uint64_t at = s->now_us > to->wire_free_us ? s->now_us : to->wire_free_us;
    if (path->bytes_per_s)
        at += n * 1000000 / path->bytes_per_s;
    to->wire_free_us = at;
    at += path->latency_us + pg_sim_below(s, (uint32_t)path->jitter_us);
    if (pg_sim_chance(s, path->lost))
        at += SIM_LOST_US + 2 * path->latency_us;
    if (at < to->last_arrival_us)
        at = to->last_arrival_us;
    return to->last_arrival_us = at;
}

static void room_again(void *context, uint64_t argument)
{
    struct pg_sim_socket *k = context;
    (void)argument;
    if (k->open)
        news(k, PG_SIM_WRITABLE);
}

/* Nothing was taken: the writer hears when that changes. */
static void writer_waits(struct pg_sim_socket *k)
{
    struct pg_sim *s = k->sim;
    if (k->other->written - k->other->taken < k->other->room)
        pg_sim_at(s, s->now_us + 1 + pg_sim_below(s, 2000), room_again, k, 0); /* it was for a moment only */
    else
        k->other->writer_waits = true;
}

size_t sim_write(struct pg_sim_socket *k, const uint8_t *bytes, size_t n)
{
    struct pg_sim *s = k->sim;
    struct pg_sim_socket *to = k->other;
    assert(k->open && to && !to->fin_written);
    if (!sim_nat_carries(s, k) && !to->severed) {
        sever(to);
        sever(k);
    }
    size_t room = to->room - (size_t)(to->written - to->taken);
    if (pg_sim_chance(s, s->rules.early_again))
        room = pg_sim_below(s, 2) ? 0 : room / 2;
    if (n > room)
        n = room;
    if (n > 1 && pg_sim_chance(s, s->rules.tiny_reads)) {
        size_t few = 1 + pg_sim_below(s, 7);
        n = few < n ? few : n;
    }
    if (n == 0) {
        writer_waits(k);
        return 0;
    }
    if (!to->ring)
        to->ring = sim_take(to->room);
    size_t at = (size_t)(to->written % to->room), first = to->room - at < n ? to->room - at : n;
    memcpy(to->ring + at, bytes, first);
    memcpy(to->ring, bytes + first, n - first);
    to->written += n;
    for (size_t left = n, piece; left > 0; left -= piece) {
        piece = left > 1 && pg_sim_below(s, MOST_PIECES) > 0 ? 1 + pg_sim_below(s, (uint32_t)left) : left;
        pg_sim_at(s, arrival(to, piece), arrive, to, piece);
    }
    if (to->severed || is_down(to) || sim_path(s, to)->stalled_until_us > s->now_us + SIM_UNANSWERED_US)
        pg_sim_at(s, s->now_us + SIM_UNANSWERED_US, check_answered, to, to->written);
    return n;
}

size_t sim_readable(const struct pg_sim_socket *k)
{
    return (size_t)(k->arrived - k->taken);
}

size_t sim_read(struct pg_sim_socket *k, uint8_t *out, size_t n)
{
    struct pg_sim *s = k->sim;
    size_t there = sim_readable(k);
    if (n > there)
        n = there;
    if (n > 1 && pg_sim_chance(s, s->rules.tiny_reads)) {
        size_t few = 1 + pg_sim_below(s, 7);
        n = few < n ? few : n;
    }
    if (n == 0)
        return 0;
    size_t at = (size_t)(k->taken % k->room), first = k->room - at < n ? k->room - at : n;
    memcpy(out, k->ring + at, first);
    memcpy(out + first, k->ring, n - first);
    k->taken += n;
    if (k->taken == k->written) { /* thousands of idle connections hold nothing */
        free(k->ring);
        k->ring = NULL;
    }
    if (k->writer_waits && k->other && !k->severed) {
        k->writer_waits = false;
        pg_sim_at(s, s->now_us + sim_path(s, k)->latency_us, room_again, k->other, 0);
    }
    return n;
}

void sim_shut(struct pg_sim_socket *k)
{
    struct pg_sim_socket *to = k->other;
    if (!to || to->fin_written || k->reset)
        return;
    to->fin_written = true;
    pg_sim_at(k->sim, arrival(to, 0), arrive_end, to, 0);
}

void sim_release(struct pg_sim_socket *k, bool hard)
{
    if (k->closed)
        return;
    bool unread = sim_readable(k) > 0, stands = k->open || (k->connecting && k->other);
    k->closed = true;
    unsettle(k);
    hard = hard && !pg_sim_is_unix(k); /* unix(7): its other end hears of a reset only when something was left unread */
    for (struct pg_sim_socket *left; (left = sim_accept(k)) != NULL;)
        sim_release(left, true); /* connections that nobody has accepted end with the listener */
    if (stands && (hard || unread || k->connecting))
        send_reset(k);
    else if (stands)
        sim_shut(k);
    k->open = k->connecting = false;
    k->taken = k->arrived;
    if (k->ring && k->written == k->arrived) {
        free(k->ring);
        k->ring = NULL;
    }
}

/* Connecting: SYN, then what the other host says. */

static void connect_fails(void *context, uint64_t failure)
{
    struct pg_sim_socket *k = context;
    if (k->closed || !k->connecting)
        return;
    k->connecting = false;
    k->failure = (int)failure;
    news(k, PG_SIM_LOST);
}

static void connect_done(void *context, uint64_t argument)
{
    struct pg_sim_socket *k = context;
    (void)argument;
    if (k->closed || k->reset)
        return;
    k->connecting = false;
    k->open = true;
    news(k, PG_SIM_CONNECTED);
    if (sim_readable(k) > 0 || k->fin_arrived)
        news(k, PG_SIM_READABLE);
}

/* The listener's system has taken the SYN. */
static struct pg_sim_socket *arrival_at(struct pg_sim_socket *listener, struct pg_sim_socket *k, const struct pg_endpoint *local,
                                        const struct pg_endpoint *remote)
{
    struct pg_sim_socket *there = sim_socket(k->sim, listener->host);
    there->local = *local;
    there->remote = *remote;
    there->other = k;
    k->other = there;
    there->open = true;
    settle(there);
    return there;
}

/* The listener's owner may have it. */
static void queue_up(struct pg_sim_socket *listener, struct pg_sim_socket *there)
{
    struct pg_sim_socket **end = &listener->backlog;
    while (*end)
        end = &(*end)->next_backlog;
    *end = there;
    news(listener, PG_SIM_READABLE);
}

static void syn_arrives(void *context, uint64_t argument)
{
    struct pg_sim_socket *k = context;
    struct pg_sim *s = k->sim;
    unsigned to = (unsigned)argument;
    const struct pg_sim_path *path = pg_sim_path(s, k->host, to);
    if (k->closed)
        return;
    if (path->dials == PG_SIM_SILENT || (s->host_down[to] && to != k->host)) {
        pg_sim_at(s, s->now_us + SIM_DIAL_GIVES_UP_US, connect_fails, k, PG_ERR_TIMEOUT);
        return;
    }
    if (path->stalled_until_us > s->now_us) {
        pg_sim_at(s, path->stalled_until_us, syn_arrives, k, argument);
        return;
    }
    struct pg_sim_socket *listener = path->dials == PG_SIM_OPEN ? listener_at(s, to, &k->remote) : NULL;
    if (!listener) {
        pg_sim_at(s, s->now_us + path->latency_us, connect_fails, k, PG_ERR_UNREACHABLE);
        return;
    }
    struct pg_sim_socket *there = arrival_at(listener, k, &k->remote, &k->local);
    pg_sim_at(s, s->now_us + path->latency_us, connect_done, k, 0);
    queue_up(listener, there);
}

/* The same over a wide-area network, packet by packet. */

/* How long a packet is under way, that is sent again when it is lost. */
static uint64_t wan_way_us(struct pg_sim *s, const struct pg_sim_path *path)
{
    uint64_t us = path->latency_us + pg_sim_below(s, (uint32_t)path->jitter_us);
    while (pg_sim_chance(s, path->lost))
        us += SIM_SYN_AGAIN_US;
    return us;
}

static struct pg_sim_socket *pair_at(struct pg_sim *s, unsigned host, const struct pg_endpoint *local, const struct pg_endpoint *remote)
{
    for (struct pg_sim_socket *k = s->places[place(local)]; k; k = k->next_place)
        if (k->host == host && !k->closed && !k->reset && same_place(&k->local, local) && same_place(&k->remote, remote))
            return k;
    return NULL;
}

/* A SYN meets one that is under way the other way: each of them takes the other's for the answer to its own. */
static void meet(struct pg_sim_socket *k, struct pg_sim_socket *there, const struct pg_sim_path *path)
{
    struct pg_sim *s = k->sim;
    uint64_t answered = s->now_us + wan_way_us(s, path);
    k->other = there;
    there->other = k;
    pg_sim_at(s, answered, connect_done, k, 0);
    pg_sim_at(s, answered + wan_way_us(s, path), connect_done, there, 0);
}

/* The handshake is over: whoever listens may accept. */
static void ack_comes(void *context, uint64_t argument)
{
    struct pg_sim_socket *there = context, *listener = listener_at(there->sim, there->host, &there->local);
    (void)argument;
    if (listener && !there->reset && !there->closed && !there->sim->host_down[there->host])
        queue_up(listener, there);
    else
        sim_release(there, true);
}

static void syn_comes(void *context, uint64_t host)
{
    struct pg_sim_socket *k = context;
    struct pg_sim *s = k->sim;
    struct pg_endpoint inside;
    unsigned to = (unsigned)host;
    const struct pg_sim_path *path = pg_sim_path(s, k->host, to);
    if (k->other || s->host_down[to])
        return;
    if (path->stalled_until_us > s->now_us) {
        pg_sim_at(s, path->stalled_until_us, syn_comes, k, host);
        return;
    }
    if (!sim_nat_in(s, to, &k->seen, &k->remote, &inside)) {
        if (sim_nat_answers(s, to))
            pg_sim_at(s, s->now_us + path->latency_us, connect_fails, k, PG_ERR_UNREACHABLE);
        return;
    }
    struct pg_sim_socket *there = pair_at(s, to, &inside, &k->seen), *listener = there ? NULL : listener_at(s, to, &inside);
    if (k->closed) { /* nobody knows of it any more where it came from, and that is what the other end is told */
        if (there && there->connecting && !there->other)
            pg_sim_at(s, s->now_us + 2 * path->latency_us, connect_fails, there, PG_ERR_UNREACHABLE);
    } else if (there) {
        if (there->connecting && !there->other)
            meet(k, there, path);
    } else if (listener) {
        there = arrival_at(listener, k, &inside, &k->seen);
        uint64_t answered = s->now_us + wan_way_us(s, path);
        pg_sim_at(s, answered, connect_done, k, 0);
        pg_sim_at(s, answered + wan_way_us(s, path), ack_comes, there, 0);
    } else {
        pg_sim_at(s, s->now_us + path->latency_us, connect_fails, k, PG_ERR_UNREACHABLE);
    }
}

/* Sent after 0, 1, 3, 7, … s until something answers: Linux's tcp_syn_retries. */
static void syn_leaves(void *context, uint64_t tries)
{
    struct pg_sim_socket *k = context;
    struct pg_sim *s = k->sim;
    unsigned to = sim_nat_host(s, &k->remote);
    if (k->closed || !k->connecting || k->other)
        return;
    k->seen = sim_nat_out(s, k->host, &k->local, &k->remote);
    const struct pg_sim_path *path = to == SIM_NOWHERE ? NULL : pg_sim_path(s, k->host, to);
    if (path && path->dials == PG_SIM_OPEN && to != k->host && !pg_sim_chance(s, path->lost))
        pg_sim_at(s, s->now_us + path->latency_us + pg_sim_below(s, (uint32_t)path->jitter_us), syn_comes, k, to);
    if (tries <= SYN_RETRIES)
        pg_sim_at(s, s->now_us + ((uint64_t)SIM_SYN_AGAIN_US << tries), syn_leaves, k, tries + 1);
    else
        connect_fails(k, PG_ERR_TIMEOUT);
}

/* Whether a connection between these two places stands already. */
static bool pair_is_taken(struct pg_sim *s, const struct pg_endpoint *local, const struct pg_endpoint *remote)
{
    for (struct pg_sim_socket *k = s->places[place(local)]; k; k = k->next_place)
        if ((k->open || k->connecting) && same_place(&k->local, local) && same_place(&k->remote, remote))
            return true;
    return false;
}

/* Of a host in a wide-area network: its own address, which needs no router. */
static bool is_own(const struct pg_sim_socket *k)
{
    struct pg_endpoint own = pg_sim_inside(k->sim, k->host, k->remote.port);
    return same_place(&own, &k->remote);
}

void sim_connect(struct pg_sim_socket *k, const struct pg_endpoint *to, const struct pg_endpoint *from)
{
    struct pg_sim *s = k->sim;
    unsigned host = host_of(s, to, k->host);
    k->remote = *to;
    k->local = to->family == PG_SIM_UNIX ? pg_sim_unix("") : is_loopback(to) ? pg_sim_loopback(0) : pg_sim_inside(s, k->host, 0);
    k->local.port = from->family == 4 ? from->port : 0;
    if (k->local.port == 0 || pair_is_taken(s, &k->local, &k->remote)) {
        k->local.port = s->next_port++;
        if (s->next_port < SIM_PORTS_FROM)
            s->next_port = SIM_PORTS_FROM;
    }
    k->connecting = true;
    settle(k);
    if (s->routers && !is_loopback(to) && !is_own(k))
        syn_leaves(k, 0);
    else if (host == SIM_NOWHERE || pg_sim_path(s, k->host, host)->dials == PG_SIM_UNREACHABLE)
        pg_sim_at(s, s->now_us + 1, connect_fails, k, PG_ERR_UNREACHABLE);
    else if (same_place(&k->local, &k->remote))
        pg_sim_at(s, s->now_us + 1, connect_fails, k, PG_ERR_SELF_DIAL);
    else
        pg_sim_at(s, s->now_us + pg_sim_path(s, k->host, host)->latency_us, syn_arrives, k, host);
}

/* Breaking. */

unsigned pg_sim_break(struct pg_sim *s, unsigned a, unsigned b, enum pg_sim_break how)
{
    unsigned n = 0;
    for (struct pg_sim_socket *k = s->sockets; k; k = k->next) {
        struct pg_sim_socket *o = k->other;
        if (!o || o->number > k->number || k->severed || k->reset || o->reset || pg_sim_is_unix(k))
            continue; /* each connection once: by the end that accepted, which is the later one */
        if (!(k->host == a && o->host == b) && !(k->host == b && o->host == a))
            continue;
        n++;
        if (how == PG_SIM_BREAK_SILENT) {
            sever(k);
            sever(o);
        } else {
            tell_reset(k, 0);
            tell_reset(o, 0);
        }
    }
    return n;
}

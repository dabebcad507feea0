/* Asks for peers on every interface and answers those who ask; facts and actions of the machine mdns.
 * Called by node.c with what datagram sockets bring. Whatever comes has to come from the network that we are in: datagrams to
 * 224.0.0.251 and ff02::fb pass no router, and their source has to be of a network of their interface. rust-libp2p sends with
 * 1 hop, so 255 hops are asked of what was sent to us alone.
 * Serves spec/machine/mdns.sm; libp2p/specs discovery/mdns.md, RFC 6762 sections 5.2, 6, 10.1 and 11. */
#include "core/mdns_internal.h"

#include "mem/heap.h"

#include <stddef.h>

/* RATE: datagrams of a second that are looked at, EACH of one source, four times as many at once. */
enum { PORT = 5353, PAUSE_LEAST_MS = 1000, PAUSE_MOST_MS = 300000, JITTER_LEAST_MS = 20, JITTER_MS = 101, QUIET_MS = 1000, HOPS = 255 };
enum { RATE = 100, EACH = 20 };
enum { NUMBERS_FROM = 1 }; /* of the sockets: the only ones there are */

static const struct pg_endpoint groups[PG_MDNS_SOCKETS] = {
    {.family = 4, .ip = {224, 0, 0, 251}, .port = PORT}, {.family = 6, .ip = {0xff, 2, [15] = 0xfb}, .port = PORT}};

static uint64_t jitter_ms(struct pg_mdns *m)
{
    return JITTER_LEAST_MS + pg_node_random(m->node) % JITTER_MS;
}

/* Facts and times. */

bool pg_mdns_is_hopeless(const struct pg_mdns *m)
{
    for (unsigned i = 0; i < PG_MDNS_SOCKETS; i++)
        if (m->sockets[i].asked || m->sockets[i].open)
            return false;
    return true;
}

uint64_t pg_mdns_query_pause_ms(const struct pg_mdns *m)
{
    return m->query_ms;
}

uint64_t pg_mdns_answer_pause_ms(const struct pg_mdns *m)
{
    uint64_t now = m->node->scope.now_us, free_us = m->answered_us + QUIET_MS * 1000;
    uint64_t wait_ms = m->answered_us && free_us > now ? (free_us - now + 999) / 1000 : 0;
    return wait_ms > m->answer_ms ? wait_ms : m->answer_ms;
}

void pg_mdns_do_pause_reset(struct pg_mdns *m)
{
    m->pause_ms = 0;
    m->query_ms = jitter_ms(m);
}

/* 1 s, doubling to 5 min; sooner when somebody would be forgotten before: RFC 6762 section 5.2 asks at 80 % of a life. */
void pg_mdns_do_pause_grow(struct pg_mdns *m)
{
    uint64_t life_ms = pg_mdns_shortest_life_ms(m);
    m->pause_ms = m->pause_ms ? m->pause_ms * 2 : PAUSE_LEAST_MS;
    if (m->pause_ms > PAUSE_MOST_MS)
        m->pause_ms = PAUSE_MOST_MS;
    m->query_ms = m->pause_ms;
    if (life_ms && m->query_ms > life_ms * 8 / 10)
        m->query_ms = life_ms * 8 / 10;
}

/* Sockets. */

void pg_mdns_do_sockets_open(struct pg_mdns *m)
{
    for (unsigned i = 0; i < PG_MDNS_SOCKETS; i++) {
        m->sockets[i] = (struct pg_mdns_socket){.asked = true};
        pg_node_command(m->node, &(struct pg_command){.kind = PG_COMMAND_BIND, .number = NUMBERS_FROM + i, .endpoint = groups[i]});
    }
}

void pg_mdns_do_sockets_close(struct pg_mdns *m)
{
    for (unsigned i = 0; i < PG_MDNS_SOCKETS; i++) {
        if (m->sockets[i].asked || m->sockets[i].open)
            pg_node_command(m->node, &(struct pg_command){.kind = PG_COMMAND_UNBIND, .number = NUMBERS_FROM + i});
        m->sockets[i] = (struct pg_mdns_socket){.open = false};
    }
}

void pg_mdns_do_denial_tell(struct pg_mdns *m)
{
    pg_log_neighbours_unheard(m->node->log, pg_text(m->reason));
}

/* Sending. The datagram lives in the turn's arena. */

static void send(struct pg_mdns *m, unsigned socket, uint32_t zone, const uint8_t *text, size_t len)
{
    struct pg_endpoint to = groups[socket];
    to.zone = zone;
    if (len > 0)
        pg_node_command(m->node, &(struct pg_command){.kind = PG_COMMAND_SEND, .number = NUMBERS_FROM + socket, .endpoint = to,
                                                      .text = pg_bytes(text, len)});
}

/* The interfaces of a socket, one after another: a place whose zone no earlier one has. */
static bool is_first(const struct pg_mdns_socket *k, uint32_t place)
{
    for (uint32_t i = 0; i < place; i++)
        if (k->at[i].zone == k->at[place].zone)
            return false;
    return true;
}

static void owe(struct pg_mdns *m, unsigned socket, uint32_t zone, unsigned asked)
{
    for (unsigned i = 0; i < PG_MDNS_INTERFACES; i++) {
        if (m->owed[socket][i].asked && m->owed[socket][i].zone != zone)
            continue;
        m->owed[socket][i].zone = zone;
        m->owed[socket][i].asked |= asked;
        return;
    }
}

void pg_mdns_do_question_send(struct pg_mdns *m)
{
    enum { ROOM = 64 };
    uint8_t *text = pg_node_scratch(m->node, ROOM);
    size_t len = text ? pg_mdns_write_query(text, ROOM, 0) : 0;
    m->answer_ms = jitter_ms(m);
    for (unsigned s = 0; s < PG_MDNS_SOCKETS; s++)
        for (uint32_t i = 0; i < m->sockets[s].n_at; i++) {
            if (!is_first(&m->sockets[s], i))
                continue;
            send(m, s, m->sockets[s].at[i].zone, text, len);
            owe(m, s, m->sockets[s].at[i].zone, PG_MDNS_ASKS_PEERS); /* a peer answers its own query */
        }
}

/* Addresses of that interface come first; those that only this machine reaches are nobody's business. */
static uint32_t addrs_for(struct pg_mdns *m, const struct pg_mdns_self *self, struct pg_multiaddr out[PG_NODE_ADDRS], uint16_t *port)
{
    struct pg_multiaddr all[PG_NODE_ADDRS];
    struct pg_endpoint e;
    uint32_t n_all = pg_node_addrs(m->node, all), n = 0;
    *port = 0;
    for (unsigned pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < n_all; i++) {
            bool tcp = pg_multiaddr_tcp(&all[i], &e, NULL) == PG_OK, here = false;
            for (uint32_t k = 0; tcp && k < self->n_at; k++)
                here |= self->at[k].family == e.family && memcmp(self->at[k].ip, e.ip, e.family == 4 ? 4 : 16) == 0;
            if (here != (pass == 0) || (tcp && pg_endpoint_is_loopback(&e)))
                continue;
            *port = *port || !tcp ? *port : e.port;
            out[n] = all[i];
            n += pg_multiaddr_append_p2p(&out[n], pg_identity_peer_id(m->node->config.identity));
        }
    return n;
}

static void answer(struct pg_mdns *m, unsigned socket, uint32_t zone, unsigned asked, uint32_t ttl_s)
{
    const struct pg_mdns_socket *k = &m->sockets[socket];
    struct pg_multiaddr addrs[PG_NODE_ADDRS];
    struct pg_mdns_self self = {.addrs = addrs};
    memcpy(self.name, m->name, sizeof self.name);
    for (uint32_t i = 0; i < k->n_at && self.n_at < sizeof self.at / sizeof *self.at; i++)
        if (k->at[i].zone == zone)
            self.at[self.n_at++] = k->at[i];
    self.n_addrs = addrs_for(m, &self, addrs, &self.port);
    uint8_t *text = self.n_addrs > 0 ? pg_node_scratch(m->node, PG_MDNS_ANSWER_MAX) : NULL;
    if (!text)
        return; /* nobody could dial us: there is nothing to tell */
    send(m, socket, zone, text, pg_mdns_write_answer(text, PG_MDNS_ANSWER_MAX, &self, asked, ttl_s));
    m->announced = true;
}

void pg_mdns_do_reply_send(struct pg_mdns *m)
{
    m->answered_us = m->node->scope.now_us;
    for (unsigned s = 0; s < PG_MDNS_SOCKETS; s++)
        for (unsigned i = 0; i < PG_MDNS_INTERFACES; i++)
            if (m->owed[s][i].asked)
                answer(m, s, m->owed[s][i].zone, m->owed[s][i].asked, PG_MDNS_TTL_S);
    memset(m->owed, 0, sizeof m->owed);
}

void pg_mdns_do_farewell_send(struct pg_mdns *m)
{
    for (unsigned s = 0; m->announced && s < PG_MDNS_SOCKETS; s++)
        for (uint32_t i = 0; i < m->sockets[s].n_at; i++)
            if (is_first(&m->sockets[s], i))
                answer(m, s, m->sockets[s].at[i].zone, PG_MDNS_ASKS_PEERS, 0);
}

/* Coming in. */

static bool is_near(const struct pg_input *in, unsigned socket)
{
    const struct pg_endpoint *group = &groups[socket];
    bool to_all = memcmp(in->local.ip, group->ip, group->family == 4 ? 4 : 16) == 0;
    return in->on_link && (to_all || in->hops == HOPS);
}

struct origin {
    struct pg_mdns *mdns;
    const struct pg_input *in;
};

static void heard(void *context, const struct pg_mdns_heard *h)
{
    struct origin *o = context;
    pg_mdns_heard(o->mdns, h, o->in);
}

/* One source has a fifth, so that it keeps nobody else from being heard. The place of a new one is that of whoever has been silent
 * for longest; who invents sources on our own network is held by the rate of all. */
static bool may_take(struct pg_mdns *m, const struct pg_endpoint *from)
{
    uint64_t now_us = m->node->scope.now_us;
    uint32_t at = 0, oldest = 0;
    while (at < PG_MDNS_SOURCES && memcmp(m->sources[at].ip, from->ip, sizeof from->ip) != 0) {
        oldest = m->sources[at].rate.paid_us < m->sources[oldest].rate.paid_us ? at : oldest;
        at++;
    }
    if (at == PG_MDNS_SOURCES) {
        at = oldest;
        memcpy(m->sources[at].ip, from->ip, sizeof from->ip);
        m->sources[at].rate = (struct pg_rate){0};
    }
    return pg_rate_take(&m->sources[at].rate, now_us, EACH, 4 * EACH) && pg_rate_take(&m->datagrams, now_us, RATE, 4 * RATE);
}

static void take_datagram(struct pg_mdns *m, const struct pg_input *in, unsigned socket)
{
    struct pg_bytes message = pg_bytes(in->data, in->len);
    if (!is_near(in, socket) || !may_take(m, &in->remote)) {
        m->node->metrics.value[PG_METRIC_MDNS_DROPPED]++;
        return;
    }
    unsigned asked = pg_mdns_read_query(message, m->name);
    if (asked) {
        owe(m, socket, in->local.zone, asked);
        m->answer_ms = jitter_ms(m);
        pg_step(&m->in, PG_MDNS_ON_ASKED);
    } else {
        pg_mdns_read_answer(message, m->name, heard, &(struct origin){m, in});
    }
}

void pg_mdns_input(struct pg_mdns *m, const struct pg_input *in)
{
    uint32_t socket = in->number - NUMBERS_FROM;
    struct pg_mdns_socket *k = m && socket < PG_MDNS_SOCKETS ? &m->sockets[socket] : NULL;
    if (!k || !(k->asked || k->open))
        return; /* it has been given up */
    if (in->kind == PG_INPUT_BOUND) {
        k->asked = false;
        k->open = true;
        pg_step(&m->in, PG_MDNS_ON_BOUND);
    } else if (in->kind == PG_INPUT_BIND_FAILED) {
        k->asked = false;
        pg_bytes_text(m->reason, sizeof m->reason, in->reason);
        pg_step(&m->in, PG_MDNS_ON_DENIED);
    } else if (in->kind == PG_INPUT_INTERFACES) {
        k->n_at = in->n_found < PG_RESOLVED_MOST ? in->n_found : PG_RESOLVED_MOST;
        memcpy(k->at, in->found, k->n_at * sizeof *k->at);
        pg_step(&m->in, PG_MDNS_ON_CHANGED);
    } else {
        take_datagram(m, in, socket);
    }
}

void pg_mdns_changed(struct pg_mdns *m)
{
    if (m)
        pg_step(&m->in, PG_MDNS_ON_CHANGED);
}

/* Life. */

struct pg_mdns *pg_mdns_new(struct pg_node *n)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    struct pg_mdns *m = pg_heap_take(sizeof *m);
    if (!m)
        return NULL;
    m->node = n;
    for (unsigned i = 0; i < PG_MDNS_NAME; i++)
        m->name[i] = letters[pg_node_random(n) % (sizeof letters - 1)];
    pg_instance_init(&m->in, &pg_mdns_machine, &pg_mdns_binding, m, &n->scope, m->timers, NULL, 0);
    return m;
}

void pg_mdns_free(struct pg_mdns *m)
{
    pg_heap_give(m);
}

void pg_mdns_start(struct pg_mdns *m)
{
    if (m)
        pg_step(&m->in, PG_MDNS_ON_START);
}

void pg_mdns_stop(struct pg_mdns *m)
{
    if (!m)
        return;
    pg_step(&m->in, PG_MDNS_ON_STOP);
    pg_mdns_peers_stop(m);
}

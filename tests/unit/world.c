/* A world of links and time in memory, see world.h. Linked to every unit test.
 * Delivers as runtime/loop does, in fresh blocks, so that the sanitizers see every byte read or written outside.
 * Serves the tests of src/service. */
#include "world.h"

#include "protocols.gen.h"

/* The attacker's protocol: everything by hand. */

void raw_send(struct raw *r)
{
    static uint8_t block[32768];
    while (r->stream && r->to_send > 0) {
        size_t n = pg_stream_credit(r->stream);
        if (n == 0) {
            pg_stream_await_credit(r->stream);
            return;
        }
        n = n < sizeof block ? n : sizeof block;
        n = n < r->to_send ? n : (size_t)r->to_send;
        r->to_send -= n;
        if (!pg_stream_write(r->stream, pg_bytes(block, n)))
            return;
    }
}

static void raw_opened(struct pg_stream *s)
{
    (void)s;
}

static void raw_data(struct pg_stream *s, struct pg_bytes in)
{
    struct raw *r = s->user;
    for (size_t i = 0; i < in.len && r->got + i < sizeof r->in; i++)
        r->in[r->got + i] = in.at[i];
    r->got += in.len;
    if (!r->hoards)
        pg_stream_consumed(s, in.len);
}

static void raw_ended(struct pg_stream *s)
{
    ((struct raw *)s->user)->n_ended++;
}

static void raw_writable(struct pg_stream *s)
{
    raw_send(s->user);
}

static void raw_closed(struct pg_stream *s, enum pg_err why)
{
    struct raw *r = s->user;
    r->n_closed++;
    r->why = why;
    r->stream = NULL;
}

static const struct pg_handler raw_handler = {.protocol = {(const uint8_t *)PG_PROTOCOL_TUNNEL, sizeof PG_PROTOCOL_TUNNEL - 1},
                                              .opened = raw_opened, .data = raw_data, .ended = raw_ended,
                                              .writable = raw_writable, .closed = raw_closed};

static const struct pg_handler raw_perf = {.protocol = {(const uint8_t *)PG_PROTOCOL_PERF, sizeof PG_PROTOCOL_PERF - 1},
                                           .opened = raw_opened, .data = raw_data, .ended = raw_ended,
                                           .writable = raw_writable, .closed = raw_closed};

/* The world. */

static void input(struct world *w, unsigned core, struct pg_input in)
{
    w->cores[core].input(w->cores[core].self, &in, w->now_us);
}

static struct end *end_new(struct world *w, unsigned core, struct pg_link *link)
{
    struct end *e = calloc(1, sizeof *e);
    if (!e || w->n_ends == sizeof w->ends / sizeof *w->ends)
        abort();
    *e = (struct end){.core = core, .link = link};
    link->os = e;
    return w->ends[w->n_ends++] = e;
}

static const struct pg_endpoint here = {.family = 4, .ip = {127, 0, 0, 1}, .port = 4001};

static void end_dies(struct world *w, struct end *e)
{
    struct pg_link *link = e->link;
    if (!link)
        return;
    e->link = NULL;
    link->os = NULL;
    w->cores[e->core].unlink(w->cores[e->core].self, link);
    if (e->other)
        e->other->other = NULL;
}

static void lose(struct world *w, struct end *e, enum pg_err why)
{
    if (!e->link)
        return;
    if (!e->link->closing)
        input(w, e->core, (struct pg_input){.kind = PG_INPUT_LOST, .link = e->link, .error = (int)why,
                                            .reason = PG_LIT("connection refused")});
    end_dies(w, e);
}

static void dial(struct world *w, unsigned core, const struct pg_command *c)
{
    struct end *e = end_new(w, core, c->link);
    if (c->mode == PG_DIAL_LOCAL) {
        e->service = true;
        w->last = e;
        w->n_dialled++;
        return; /* serve() decides what becomes of it */
    }
    struct pg_link *fresh = w->cores[VICTIM].link(w->cores[VICTIM].self);
    struct end *there = end_new(w, VICTIM, fresh);
    e->other = there;
    there->other = e;
    e->up = there->up = true;
    input(w, VICTIM, (struct pg_input){.kind = PG_INPUT_ACCEPTED, .link = w->listener, .fresh = fresh, .remote = here, .local = here});
    input(w, core, (struct pg_input){.kind = PG_INPUT_CONNECTED, .link = c->link, .remote = here, .local = here});
}

static void run_command(struct world *w, unsigned core, const struct pg_command *c)
{
    struct end *e = c->link ? c->link->os : NULL;
    switch (c->kind) {
    case PG_COMMAND_LISTEN:
        (void)end_new(w, core, c->link);
        w->listener = c->link;
        input(w, core, (struct pg_input){.kind = PG_INPUT_LISTENING, .link = c->link, .local = here});
        return;
    case PG_COMMAND_DIAL: dial(w, core, c); return;
    case PG_COMMAND_END:
        if (e)
            e->end_asked = true;
        return;
    case PG_COMMAND_CLOSE:
        if (e)
            e->end_asked = e->close_asked = true;
        return;
    case PG_COMMAND_RESET:
        if (e) {
            struct end *other = e->other;
            end_dies(w, e);
            if (other)
                lose(w, other, PG_ERR_CLOSED);
        }
        return;
    case PG_COMMAND_WRITE:
    case PG_COMMAND_READ:
    case PG_COMMAND_RESOLVE:
    case PG_COMMAND_BIND:
    case PG_COMMAND_SEND:
    case PG_COMMAND_UNBIND:
    case PG_COMMAND_FORGET:
    case PG_COMMAND_READY:
    case PG_COMMAND_REPORT:
    case PG_COMMAND_STOP: return;
    }
}

static bool run_commands(struct world *w)
{
    struct pg_command c;
    bool any = false;
    for (unsigned core = 0; core < CORES; core++)
        while (w->cores[core].poll(w->cores[core].self, &c)) {
            run_command(w, core, &c);
            any = true;
        }
    return any;
}

static void receive(struct world *w, struct end *e, const uint8_t *bytes, size_t n)
{
    uint8_t *block = malloc(PG_READ_HEADROOM + n);
    if (!block)
        abort();
    memcpy(block + PG_READ_HEADROOM, bytes, n);
    input(w, e->core, (struct pg_input){.kind = PG_INPUT_RECEIVED, .link = e->link, .data = block + PG_READ_HEADROOM, .len = n});
    free(block);
}

static size_t take(struct end *e, uint8_t *out, size_t room)
{
    struct pg_bytes slice;
    size_t n = 0;
    while (n < room && pg_queue_peek(&e->link->tx, &slice, 1)) {
        slice = pg_bytes_head(slice, room - n);
        memcpy(out + n, slice.at, slice.len);
        n += slice.len;
        pg_queue_drop(&e->link->tx, slice.len);
    }
    return n;
}

/* A local service takes what has been written to it and answers in its own way. */
static bool serve(struct world *w, struct end *e)
{
    static uint8_t block[65536];
    if (!e->up) {
        if (w->service == SLOW)
            return false;
        if (w->service == DOWN) {
            lose(w, e, PG_ERR_REFUSED);
            return true;
        }
        e->up = true;
        input(w, e->core, (struct pg_input){.kind = PG_INPUT_CONNECTED, .link = e->link, .remote = here, .local = here});
        return true;
    }
    if ((w->service == CLOSES || w->service == ENDS_FIRST) && !e->end_told && !e->link->closing) {
        e->end_told = true;
        input(w, e->core, (struct pg_input){.kind = PG_INPUT_ENDED, .link = e->link});
        return true;
    }
    if (w->service == RESETS && e->got > 0) {
        lose(w, e, PG_ERR_CLOSED);
        return true;
    }
    size_t want = e->link->closing ? 0 : w->cores[e->core].want(w->cores[e->core].self, e->link);
    size_t room = want < sizeof block ? want : sizeof block;
    if (w->service == POURS && room > 0) {
        receive(w, e, block, room);
        return true;
    }
    if (w->service == NEVER_READS || e->link->tx.bytes == 0 || (w->service == ECHO && room == 0 && !e->link->closing))
        return false;
    size_t n = take(e, block, w->service == ECHO && !e->link->closing ? room : sizeof block);
    for (size_t i = 0; i < n && e->got + i < sizeof e->said; i++)
        e->said[e->got + i] = block[i];
    e->got += n;
    if (!e->link->closing)
        input(w, e->core, (struct pg_input){.kind = PG_INPUT_WRITTEN, .link = e->link});
    if (w->service == ECHO && e->link && !e->link->closing)
        receive(w, e, block, n);
    return true;
}

static bool carry(struct world *w, struct end *e)
{
    static uint8_t block[65536];
    if (e->core == VICTIM && e->link->tx.bytes > w->most_unsent)
        w->most_unsent = e->link->tx.bytes;
    if (e->link->tx.bytes == 0 || (w->stalled && e->core == VICTIM))
        return false;
    struct end *to = e->other;
    size_t n = take(e, block, sizeof block);
    if (!e->link->closing)
        input(w, e->core, (struct pg_input){.kind = PG_INPUT_WRITTEN, .link = e->link});
    if (to && to->link && !to->link->closing)
        receive(w, to, block, n);
    return true;
}

/* Ends and closes, once everything before them has left. */
static bool finish(struct world *w, struct end *e)
{
    if (e->link->tx.bytes > 0 || !e->end_asked)
        return false;
    bool moved = false;
    if (!e->got_end) {
        e->got_end = moved = true;
        if (e->other && e->other->link && !e->other->link->closing)
            input(w, e->other->core, (struct pg_input){.kind = PG_INPUT_ENDED, .link = e->other->link});
        if (e->service && w->service == ECHO && !e->end_told && !e->link->closing) {
            e->end_told = true;
            input(w, e->core, (struct pg_input){.kind = PG_INPUT_ENDED, .link = e->link});
        }
    }
    if (e->link && e->close_asked) {
        end_dies(w, e);
        moved = true;
    }
    return moved;
}

void world_settle(struct world *w)
{
    bool moved = true;
    while (moved) {
        moved = run_commands(w);
        for (unsigned i = 0; i < w->n_ends; i++) {
            struct end *e = w->ends[i];
            if (e->link && e->link != w->listener)
                moved |= e->service ? serve(w, e) : carry(w, e);
            moved |= run_commands(w);
            if (e->link && (e->up || e->close_asked))
                moved |= finish(w, e);
        }
    }
    unsigned left = 0;
    for (unsigned i = 0; i < w->n_ends; i++) {
        if (w->ends[i]->link || w->ends[i] == w->last)
            w->ends[left++] = w->ends[i];
        else
            free(w->ends[i]);
    }
    w->n_ends = left;
}

void world_pass(struct world *w, uint64_t ms)
{
    uint64_t until = w->now_us + ms * 1000;
    world_settle(w);
    for (;;) {
        uint64_t a = w->cores[0].deadline(w->cores[0].self), b = w->cores[1].deadline(w->cores[1].self);
        uint64_t next = a < b ? a : b;
        if (next > until)
            break;
        w->now_us = next > w->now_us ? next : w->now_us + 1;
        for (unsigned core = 0; core < CORES; core++)
            input(w, core, (struct pg_input){.kind = PG_INPUT_TICK});
        world_settle(w);
    }
    w->now_us = until;
}

static void peer_up(void *context, struct pg_session *s)
{
    ((struct world *)context)->session = s;
}

static void peer_lost(void *context, struct pg_session *s)
{
    struct world *w = context;
    w->n_lost++;
    if (w->session == s)
        w->session = NULL;
}

static void make_victim(struct world *w)
{
    struct pg_peer_expose exposed = {.name = PG_LIT("echo"), .host = PG_LIT("127.0.0.1"), .port = 80};
    struct pg_peer_config c = {.exposed = &exposed, .n_exposed = 1, .tunnel_wait_ms = 10000};
    pg_node_config_default(&c.node);
    c.node.identity = w->keys[VICTIM];
    c.node.seed = 7;
    CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&c.node.listens[c.node.n_listens++], PG_LIT("/ip4/127.0.0.1/tcp/4001")), PG_OK);
    w->victim = c.node.identity ? pg_peer_new(&c) : NULL;
}

static void make_attacker(struct world *w)
{
    struct pg_node_config n = {0};
    pg_node_config_default(&n);
    n.identity = w->keys[ATTACKER];
    n.quiet = true;
    n.seed = 8;
    w->attacker = n.identity ? pg_node_new(&n, &(struct pg_node_hooks){.context = w, .peer_up = peer_up, .peer_lost = peer_lost}) : NULL;
}

struct world *world_try(void)
{
    struct world *w = calloc(1, sizeof *w);
    if (!w)
        abort();
    w->now_us = 1000000;
    w->keys[VICTIM] = pg_identity_from_seed((const uint8_t[32]){1});
    w->keys[ATTACKER] = pg_identity_from_seed((const uint8_t[32]){2});
    make_victim(w);
    make_attacker(w);
    if (!w->victim || !w->attacker) {
        world_drop(w);
        return NULL;
    }
    w->cores[VICTIM] = pg_peer_core(w->victim);
    w->cores[ATTACKER] = pg_node_core(w->attacker);
    for (unsigned core = 0; core < CORES; core++) {
        input(w, core, (struct pg_input){.kind = PG_INPUT_START});
        world_settle(w);
    }
    world_dial(w);
    return w;
}

void world_dial(struct world *w)
{
    struct pg_multiaddr at;
    struct pg_contact *contact = pg_node_contact(w->attacker, pg_identity_peer_id(w->keys[VICTIM]));
    CU_ASSERT_EQUAL_FATAL(pg_multiaddr_parse(&at, PG_LIT("/ip4/127.0.0.1/tcp/4001")), PG_OK);
    (void)pg_contact_add(contact, &at);
    pg_contact_start(contact, false, false);
    world_pass(w, 1000);
}

struct world *world_new(void)
{
    struct world *w = world_try();
    CU_ASSERT_PTR_NOT_NULL_FATAL(w);
    CU_ASSERT_PTR_NOT_NULL_FATAL(w->session);
    return w;
}

struct pg_transport *world_victims(struct world *w)
{
    return pg_node_transport(pg_peer_node(w->victim));
}

void world_free(struct world *w)
{
    CU_ASSERT_EQUAL(w->n_lost, 0); /* whatever a stream did, its connection lives */
    world_drop(w);
}

void world_drop(struct world *w)
{
    for (unsigned i = 0; i < w->n_ends; i++) {
        if (w->ends[i]->link)
            w->ends[i]->link->os = NULL;
        free(w->ends[i]);
    }
    pg_node_free(w->attacker);
    pg_peer_free(w->victim);
    for (unsigned core = 0; core < CORES; core++)
        pg_identity_free(w->keys[core]);
    free(w);
}

static void say(struct world *w, struct raw *r, const struct pg_handler *handler, struct pg_bytes text)
{
    enum pg_err why;
    *r = (struct raw){.w = w};
    r->stream = pg_stream_open(pg_session_conn(w->session), handler, r, &why);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r->stream);
    while (text.len > 0) {
        size_t n = text.len < 60000 ? text.len : 60000;
        CU_ASSERT_FATAL(pg_stream_write(r->stream, pg_bytes_head(text, n)));
        text = pg_bytes_skip(text, n);
        world_settle(w);
        if (!r->stream)
            return;
    }
    world_settle(w);
}

void raw_say(struct world *w, struct raw *r, struct pg_bytes text)
{
    say(w, r, &raw_handler, text);
}

void raw_say_perf(struct world *w, struct raw *r, struct pg_bytes text)
{
    say(w, r, &raw_perf, text);
}

size_t raw_framed(uint8_t *out, struct pg_bytes json)
{
    out[0] = (uint8_t)(json.len >> 24);
    out[1] = (uint8_t)(json.len >> 16);
    out[2] = (uint8_t)(json.len >> 8);
    out[3] = (uint8_t)json.len;
    memcpy(out + 4, json.at, json.len);
    return json.len + 4;
}

bool raw_try(struct world *w, struct raw *r, struct pg_bytes json)
{
    uint8_t text[512];
    enum pg_err why;
    *r = (struct raw){.w = w};
    r->stream = pg_stream_open(pg_session_conn(w->session), &raw_handler, r, &why);
    if (r->stream)
        (void)pg_stream_write(r->stream, pg_bytes(text, raw_framed(text, json)));
    world_settle(w);
    return r->stream != NULL;
}

void raw_ask(struct world *w, struct raw *r, struct pg_bytes json)
{
    static uint8_t text[70000];
    raw_say(w, r, pg_bytes(text, raw_framed(text, json)));
}

bool raw_answered(const struct raw *r, const char *json)
{
    size_t n = strlen(json);
    return r->got >= 4 + n && r->in[3] == n && memcmp(r->in + 4, json, n) == 0;
}

bool raw_rejected_because(const struct raw *r, const char *words)
{
    static const char start[] = "{\"accepted\":false,\"reason\":\"";
    size_t n = strlen(words), len = r->got > 4 ? (size_t)r->in[2] << 8 | r->in[3] : 0;
    if (len < sizeof start || len + 4 > r->got || memcmp(r->in + 4, start, sizeof start - 1) != 0)
        return false;
    for (size_t i = 4; i + n <= len + 4; i++)
        if (memcmp(r->in + i, words, n) == 0)
            return true;
    return false;
}

struct held world_held(struct world *w)
{
    return (struct held){world_victims(w)->streams.used, world_victims(w)->chunks->used, pg_secrets_held()};
}

void world_check_nothing_left(struct world *w, struct held before)
{
    struct held now = world_held(w);
    CU_ASSERT(now.streams == before.streams && now.chunks == before.chunks && now.secrets == before.secrets);
    unsigned services = 0;
    for (unsigned i = 0; i < w->n_ends; i++)
        services += w->ends[i]->link && w->ends[i]->service;
    CU_ASSERT_EQUAL(services, 0);
}

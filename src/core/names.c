/* What a round of dials may try: the addresses of a contact, with what its names stand for as the answers come.
 * Called by contact.c and node.c. Names are asked for anew in each round, and everything that an answer can make us do is
 * bounded here: how deep records lead, how many questions and addresses there are, and that no question comes twice.
 * Serves multiformats/multiaddr protocols/DNSADDR.md, and libp2p/specs addressing/README.md, "dnsaddr". */
#include "core/node_internal.h"

#include "crypto/dnsaddr.h"
#include "trace/line.h"

#include <assert.h>

/* go-libp2p p2p/net/swarm/swarm_dial.go follows 4 records in a row as well, and takes 100 addresses. */
enum { DEPTH_MOST = 4 };

/* What was asked, so that nothing is asked twice in a round. Two names in one place of a hash cost one address. */
static uint64_t key_of(const struct pg_node *n, const struct pg_multiaddr *addr)
{
    uint64_t h = n->config.seed ^ 0xcbf29ce484222325u;
    for (uint32_t i = 0; i < addr->len; i++)
        h = (h ^ addr->at[i]) * 0x100000001b3u;
    return h;
}

static void note_failure(struct pg_contact *c, const struct pg_multiaddr *addr, enum pg_err why, struct pg_bytes reason)
{
    char text[PG_MULTIADDR_TEXT];
    struct pg_line line;
    c->why = why;
    pg_line_init(&line, c->reason, sizeof c->reason);
    pg_line_raw(&line, reason);
    pg_log_dial_failed(c->node->log, pg_bytes(text, pg_multiaddr_text(addr, text, sizeof text)), pg_text(c->reason));
}

static bool same_place(struct pg_multiaddr a, struct pg_multiaddr b)
{
    pg_multiaddr_strip_p2p(&a);
    pg_multiaddr_strip_p2p(&b);
    return pg_multiaddr_equal(&a, &b);
}

/* The relay of an address over one; "none" for every other address. */
static struct pg_peer_id relay_of(const struct pg_multiaddr *addr)
{
    struct pg_peer_id relay;
    return pg_multiaddr_circuit(addr, NULL, &relay, NULL) == PG_OK ? relay : (struct pg_peer_id){0};
}

/* One circuit by each relay is enough, at whatever address of it: whether an earlier target is one by the same. */
static bool is_taken(const struct pg_contact *c, uint32_t target)
{
    struct pg_peer_id relay = relay_of(&c->targets[target]), other;
    for (uint32_t i = 0; i < target && relay.len; i++) {
        other = relay_of(&c->targets[i]);
        if (other.len && pg_peer_id_equal(&other, &relay))
            return true;
    }
    return false;
}

static uint32_t next_of(const struct pg_contact *c)
{
    uint32_t at = c->next_target;
    while (at < c->n_targets && is_taken(c, at))
        at++;
    return at;
}

bool pg_names_more(const struct pg_contact *c)
{
    return next_of(c) < c->n_targets;
}

const struct pg_multiaddr *pg_names_next(struct pg_contact *c)
{
    c->next_target = next_of(c);
    return &c->targets[c->next_target++];
}

/* Over a relay that is connected: nobody has to be dialled for it. */
static bool is_at_hand(const struct pg_contact *c, const struct pg_multiaddr *addr)
{
    struct pg_peer_id relay = relay_of(addr);
    return relay.len > 0 && pg_node_session(c->node, &relay) != NULL;
}

static uint32_t count_relays(const struct pg_contact *c)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->n_targets; i++)
        count += relay_of(&c->targets[i]).len > 0 && !is_at_hand(c, &c->targets[i]) && !is_taken(c, i);
    return count;
}

/* Whether a circuit may be tried: by another relay than ourselves, to another peer than the relay, and not by a relay that we look for
 * as one. Peers offer such addresses, so not by many. */
static bool may_relay(struct pg_contact *c, const struct pg_multiaddr *addr, const struct pg_peer_id *named)
{
    struct pg_peer_id relay = relay_of(addr);
    const struct pg_peer_id *target = named->len ? named : &c->peer;
    if (!target->len || pg_peer_id_equal(&relay, target) || pg_peer_id_equal(&relay, pg_node_own(c->node)) || (c->as_relay && !c->wanted))
        return false;
    return is_at_hand(c, addr) || count_relays(c) < PG_CONTACT_RELAYS;
}

/* The relay is asked already, and perhaps still being looked for. */
static bool is_asked(struct pg_contact *c, const struct pg_multiaddr *addr)
{
    struct pg_multiaddr at;
    struct pg_peer_id relay, other;
    if (pg_multiaddr_circuit(addr, &at, &relay, NULL) != PG_OK)
        return false;
    for (uint32_t i = 0; i < c->next_target; i++) {
        other = relay_of(&c->targets[i]);
        if (!other.len || !pg_peer_id_equal(&other, &relay))
            continue;
        pg_contacts_hear(c->node, &relay, &at, 1);
        return true;
    }
    return false;
}

/* With --path relay a peer of which addresses over relays are known is dialled by those alone. */
bool pg_names_relayed_only(const struct pg_contact *c)
{
    if (c->node->config.path != PG_PATH_RELAY || c->as_relay > 0)
        return false;
    for (uint32_t i = 0; i < c->n_addrs + c->n_learnt; i++)
        if (relay_of(i < c->n_addrs ? &c->addrs[i] : &c->learnt[i - c->n_addrs]).len)
            return true;
    return false;
}

/* False when it cannot be dialled, or is none of this contact's. */
static bool add_target(struct pg_contact *c, const struct pg_multiaddr *addr)
{
    struct pg_endpoint at;
    struct pg_peer_id named;
    bool over = pg_multiaddr_circuit(addr, NULL, NULL, &named) == PG_OK;
    if (!over && (pg_multiaddr_tcp(addr, &at, &named) != PG_OK || at.port == 0 || pg_names_relayed_only(c)))
        return false;
    if (named.len && pg_peer_id_equal(&named, pg_identity_peer_id(c->node->config.identity))) {
        if (!c->why)
            c->why = PG_ERR_SELF_DIAL; /* a list that many share may name us, too; what has failed counts before it */
        return false;
    }
    if (named.len && c->peer.len && !pg_peer_id_equal(&named, &c->peer))
        return false;
    if (over && is_asked(c, addr))
        return true;
    for (uint32_t i = 0; i < c->n_targets; i++)
        if (same_place(c->targets[i], *addr))
            return true;
    if (c->n_targets == PG_CONTACT_TARGETS || (over && !may_relay(c, addr, &named)))
        return false;
    c->targets[c->n_targets++] = *addr;
    return true;
}

static struct pg_lookup *free_lookup(struct pg_node *n)
{
    for (uint32_t i = 0; i < PG_MAX_LOOKUPS; i++)
        if (!n->lookups[i].contact)
            return &n->lookups[i];
    return NULL;
}

/* The text of the question, in the turn's arena. */
static struct pg_bytes question(struct pg_node *n, const struct pg_named *named)
{
    size_t prefix = named->code == PG_MA_DNSADDR ? sizeof PG_DNSADDR_PREFIX - 1 : 0;
    uint8_t *text = pg_node_scratch(n, prefix + named->name.len);
    if (!text)
        return PG_NONE;
    memcpy(text, PG_DNSADDR_PREFIX, prefix);
    memcpy(text + prefix, named->name.at, named->name.len);
    return pg_bytes(text, prefix + named->name.len);
}

static enum pg_resolve_kind kind_of(enum pg_ma_code code)
{
    return code == PG_MA_DNSADDR ? PG_RESOLVE_TEXTS : code == PG_MA_DNS4 ? PG_RESOLVE_IP4 : code == PG_MA_DNS6 ? PG_RESOLVE_IP6
                                                                                                              : PG_RESOLVE_ADDRESSES;
}

static bool ask(struct pg_contact *c, const struct pg_multiaddr *addr, const struct pg_named *named, uint8_t depth)
{
    struct pg_node *n = c->node;
    uint64_t key = key_of(n, addr);
    for (uint32_t i = 0; i < c->n_asked; i++)
        if (c->asked[i] == key)
            return true;
    struct pg_lookup *l = free_lookup(n);
    struct pg_bytes host = l ? question(n, named) : PG_NONE;
    if (!host.len || c->n_asked == PG_CONTACT_QUESTIONS) {
        note_failure(c, addr, PG_ERR_NO_MEMORY, PG_LIT("too many names are being resolved"));
        return false;
    }
    /* A number is not used again soon: the loop may hand over an answer before it has read that nobody wants it any more. */
    uint32_t number = ++n->n_questions * PG_MAX_LOOKUPS + (uint32_t)(l - n->lookups);
    *l = (struct pg_lookup){.contact = c, .addr = *addr, .number = number, .depth = depth};
    c->asked[c->n_asked++] = key;
    c->asking++;
    pg_node_command(n, &(struct pg_command){.kind = PG_COMMAND_RESOLVE, .number = number,
                                            .mode = (uint8_t)kind_of(named->code), .host = host});
    return true;
}

/* An address of the user's, or of a record at that depth. */
static bool add(struct pg_contact *c, const struct pg_multiaddr *addr, uint8_t depth)
{
    struct pg_named named;
    if (!pg_named_take(addr, &named))
        return add_target(c, addr);
    return depth <= DEPTH_MOST && pg_named_check(&named) == PG_OK && ask(c, addr, &named, depth);
}

/* Circuits come behind all others, and those over relays at hand before the rest. */
enum { DIRECT, AT_HAND, OVER_OTHERS, TURNS };

static unsigned turn_of(const struct pg_contact *c, const struct pg_multiaddr *addr)
{
    return relay_of(addr).len == 0 ? DIRECT : is_at_hand(c, addr) ? AT_HAND : OVER_OTHERS;
}

void pg_names_begin(struct pg_contact *c)
{
    assert(c->asking == 0);
    c->n_targets = c->next_target = c->n_asked = 0;
    for (unsigned turn = 0; turn < TURNS; turn++) {
        for (uint32_t i = 0; i < c->n_addrs; i++)
            if (turn_of(c, &c->addrs[i]) == turn)
                (void)add(c, &c->addrs[i], 0);
        for (uint32_t i = 0; i < c->n_learnt; i++) {
            /* Reservations change: of circuits what was heard last is most likely still true. */
            const struct pg_multiaddr *learnt = &c->learnt[turn == DIRECT ? i : c->n_learnt - 1 - i];
            if (turn_of(c, learnt) == turn)
                (void)add_target(c, learnt);
        }
    }
}

void pg_names_join(struct pg_contact *c, const struct pg_multiaddr *addr)
{
    uint32_t before = c->n_targets;
    (void)add_target(c, addr);
    if (c->n_targets > before)
        pg_step(&c->dial.in, PG_DIAL_ON_NAMES_TOLD);
}

void pg_names_drop(struct pg_contact *c)
{
    struct pg_node *n = c->node;
    for (uint32_t i = 0; i < PG_MAX_LOOKUPS && c->asking > 0; i++) {
        if (n->lookups[i].contact != c)
            continue;
        n->lookups[i].contact = NULL;
        c->asking--;
        pg_node_command(n, &(struct pg_command){.kind = PG_COMMAND_FORGET, .number = n->lookups[i].number});
    }
}

static uint32_t take_addresses(struct pg_contact *c, const struct pg_named *named, const struct pg_input *in)
{
    struct pg_multiaddr addr;
    uint32_t good = 0;
    for (uint32_t i = 0; i < in->n_found; i++)
        good += pg_named_at(named, &in->found[i], &addr) && add_target(c, &addr);
    return good;
}

static uint32_t take_records(struct pg_contact *c, const struct pg_named *named, const struct pg_input *in, uint8_t depth)
{
    struct pg_multiaddr addr;
    uint32_t good = 0;
    for (uint32_t i = 0; i < in->n_found; i++)
        good += pg_named_record(named, in->texts[i], &addr) && add(c, &addr, depth);
    return good;
}

void pg_names_answered(struct pg_node *n, const struct pg_input *in)
{
    struct pg_named named;
    struct pg_lookup *asked = &n->lookups[in->number % PG_MAX_LOOKUPS], l = *asked;
    struct pg_contact *c = l.contact;
    if (!c || l.number != in->number)
        return;
    asked->contact = NULL;
    c->asking--;
    (void)pg_named_take(&l.addr, &named);
    if (in->n_found == 0)
        note_failure(c, &l.addr, (enum pg_err)in->error, in->reason);
    else if (named.code != PG_MA_DNSADDR && take_addresses(c, &named, in) == 0)
        note_failure(c, &l.addr, PG_ERR_UNREACHABLE, PG_LIT("the name has no address that can be dialled"));
    else if (named.code == PG_MA_DNSADDR && take_records(c, &named, in, (uint8_t)(l.depth + 1)) == 0 && c->why != PG_ERR_SELF_DIAL)
        note_failure(c, &l.addr, PG_ERR_UNREACHABLE, PG_LIT("no TXT record of the name leads to this peer"));
    else if (c->n_targets == 0 && c->asking == 0 && c->why == PG_OK) /* each question of the last answer had been asked before */
        note_failure(c, &l.addr, PG_ERR_UNREACHABLE, PG_LIT("the TXT records lead in a circle, and to no address"));
    pg_step(&c->dial.in, PG_DIAL_ON_NAMES_TOLD);
}

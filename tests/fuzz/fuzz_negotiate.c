/* Fuzz target: bytes to both sides of a negotiation: the same verdict whether they come whole or in two pieces, what follows the
 * verdict is left alone, and what is answered is lines again.
 * Run by libFuzzer or by standalone.c; the first byte of the input says where it is cut.
 * Serves libp2p/specs connections/README.md, "multistream-select". */
#include "negotiate_dial.gen.h"
#include "negotiate_listen.gen.h"
#include "transport/negotiate.h"
#include "transport/yamux.h"
#include "fuzz.h"

#define MOST 60000u

struct talk {
    struct pg_scope scope;
    struct pg_substream owner;
    struct pg_negotiation n;
    uint8_t sent[1 << 20];
    size_t sent_len, left;
};

static void keep(void *context, struct pg_bytes text)
{
    struct talk *t = context;
    FUZZ_WANT(text.len <= sizeof t->sent - t->sent_len);
    memcpy(t->sent + t->sent_len, text.at, text.len);
    t->sent_len += text.len;
}

static struct pg_bytes spoken(void *context, struct pg_bytes offer)
{
    (void)context;
    return pg_bytes_equal(offer, PG_LIT("/noise")) || pg_bytes_equal(offer, PG_LIT("/yamux/1.0.0")) ? offer : PG_NONE;
}

static bool no_fact(const void *self, unsigned fact)
{
    (void)self;
    (void)fact;
    return false;
}

static void no_act(void *self, unsigned action)
{
    (void)self;
    (void)action;
}

static void run(struct talk *t, bool dial, struct pg_bytes in, size_t cut)
{
    static const struct pg_binding deaf = {.fact = no_fact, .act = no_act};
    t->sent_len = 0;
    t->scope = (struct pg_scope){0};
    if (!pg_scope_init(&t->scope, 16, 64))
        abort();
    t->owner = (struct pg_substream){0};
    pg_instance_init(&t->owner.in, &pg_substream_machine, &deaf, &t->owner, &t->scope, t->owner.timers, NULL, 1);
    t->n = (struct pg_negotiation){.send = keep, .spoken = spoken, .context = t};
    if (dial)
        pg_negotiation_dial(&t->n, &t->scope, &t->owner.in, PG_LIT("/noise"));
    else
        pg_negotiation_listen(&t->n, &t->scope, &t->owner.in);
    struct pg_bytes a = pg_bytes_head(in, cut), b = pg_bytes_skip(in, cut);
    pg_negotiation_feed(&t->n, &a);
    if (a.len == 0)
        pg_negotiation_feed(&t->n, &b);
    t->left = a.len + b.len;
    FUZZ_WANT(pg_negotiation_done(&t->n) || t->left == 0);
    pg_instance_end(&t->n.in);
    pg_instance_end(&t->owner.in);
    pg_scope_free(&t->scope);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct talk whole, cut;
    if (size < 2 || size > MOST)
        return 0;
    struct pg_bytes in = pg_bytes(data + 1, size - 1);
    for (int dial = 0; dial < 2; dial++) {
        run(&whole, dial, in, in.len);
        run(&cut, dial, in, data[0] % in.len);
        FUZZ_WANT(whole.left == cut.left && whole.n.in.ctl.state == cut.n.in.ctl.state);
        FUZZ_WANT(whole.sent_len == cut.sent_len && memcmp(whole.sent, cut.sent, whole.sent_len) == 0);
        struct pg_mss lines;
        struct pg_bytes said = pg_bytes(whole.sent, whole.sent_len), line;
        enum pg_mss_result result;
        pg_mss_init(&lines);
        while ((result = pg_mss_feed(&lines, &said, &line)) == PG_MSS_LINE)
            continue;
        FUZZ_WANT(result == PG_MSS_MORE && said.len == 0);
    }
    return 0;
}

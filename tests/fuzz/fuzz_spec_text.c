/* Fuzz target: what people write after --expose, --tunnel and pipe is refused, or comes apart into pieces that make it again.
 * Run by libFuzzer or by standalone.c.
 * Serves spec/wire/spec_text.rl. */
#include "service/peer.h"
#include "wire/spec_text.h"
#include "fuzz.h"

/* a, then the separator, then b are the beginning of the text, or its whole. */
static void joined(struct pg_bytes text, struct pg_bytes a, char separator, struct pg_bytes b)
{
    FUZZ_WANT(a.at >= text.at && b.at == a.at + a.len + 1 && a.at[a.len] == separator);
    FUZZ_WANT(b.at + b.len <= text.at + text.len && b.len > 0 && b.len <= PG_SERVICE_NAME_MAX);
}

static void host(struct pg_bytes text, struct pg_bytes before, char separator, struct pg_bytes h)
{
    const uint8_t *at = before.at + before.len;
    FUZZ_WANT(*at == separator && h.len > 0 && h.at + h.len < text.at + text.len);
    FUZZ_WANT(h.at == at + 1 || (at[1] == '[' && h.at == at + 2 && h.at[h.len] == ']'));
}

/* Paths and allow lists stay within the text, whatever they hold. */
static void path(struct pg_bytes text, struct pg_bytes p)
{
    FUZZ_WANT(p.at > text.at && p.at[0] == '/' && p.at[-1] == ':' && p.at + p.len <= text.at + text.len);
    FUZZ_WANT(p.len <= PG_SOCKET_PATH_MAX && !memchr(p.at, ',', p.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pg_bytes text = pg_bytes(data, size);
    struct pg_expose_text x;
    struct pg_tunnel_text t;
    struct pg_named_text n;
    struct pg_pipe_text p;
    if (pg_expose_parse(text, &x) == PG_OK) {
        FUZZ_WANT(x.name.at == data && !memchr(x.name.at, '=', x.name.len) && (x.port > 0) == (x.path.len == 0));
        if (x.path.len)
            path(text, x.path);
        else
            host(text, x.name, '=', x.host);
        size_t left = x.allow.len;
        for (struct pg_bytes peer; pg_allow_next(&x.allow, &peer); left = x.allow.len) {
            FUZZ_WANT(x.allow.len < left && peer.at + peer.len == x.allow.at && !memchr(peer.at, ',', peer.len));
        }
        FUZZ_WANT(x.allow.len == 0);
    }
    if (pg_tunnel_parse(text, &t) == PG_OK) {
        FUZZ_WANT(t.peer.at == data);
        joined(text, t.peer, ':', t.service);
        if (t.path.len)
            path(text, t.path);
        else
            host(text, t.service, '@', t.host);
    }
    if (pg_named_parse(text, &n) == PG_OK) {
        FUZZ_WANT(n.service.at == data && n.service.len > 0);
        if (n.path.len)
            path(text, n.path);
        else
            host(text, n.service, '@', n.host);
    }
    if (pg_pipe_parse(text, &p) == PG_OK) {
        FUZZ_WANT(p.addr.at == data && p.service.at + p.service.len == data + size);
        joined(text, p.addr, ':', p.service);
    }
    struct pg_peer_expose exposed;
    struct pg_peer_forward forward;
    if (pg_peer_expose_read(&exposed, text))
        FUZZ_WANT(exposed.n_allowed <= PG_EXPOSE_ALLOWED && exposed.name.at == data);
    if (pg_peer_forward_read(&forward, text))
        FUZZ_WANT(forward.peer.len > 0 && forward.service.len > 0);
    if (pg_peer_named_read(&forward, text))
        FUZZ_WANT(forward.peer.len == 0 && forward.service.at == data);
    return 0;
}

/* The oracle of tools/replay: what secrets gave comes out of the recording. Linked in place of src/crypto/oracle.c. */
#include "crypto/oracle.h"

#include "play.h"

static struct play *source;

void oracle_from(struct play *p)
{
    source = p;
}

void pg_oracle_listen(void (*tell)(void *context, enum pg_oracle, struct pg_bytes), void *context)
{
    (void)tell;
    (void)context;
}

void pg_oracle_tell(enum pg_oracle kind, const uint8_t *at, size_t n)
{
    (void)kind;
    (void)at;
    (void)n;
}

size_t pg_oracle_recall(enum pg_oracle kind, uint8_t *out, size_t room)
{
    if (!source)
        return 0;
    if (source->at == source->end || *source->at != PG_RECORD_ANSWER)
        play_differs(source, "a secret is used that was not used in the recorded run (%u)", (unsigned)kind);
    source->at++;
    uint64_t recorded = play_number(source);
    struct pg_bytes answer = play_bytes(source);
    if (recorded != (uint64_t)kind || answer.len > room)
        play_differs(source, "another secret is used (%u) than in the recorded run (%u)", (unsigned)kind, (unsigned)recorded);
    if (answer.len)
        memcpy(out, answer.at, answer.len);
    return answer.len;
}

/* Is this text UTF-8? Asked before text of strangers is logged, compared or put into JSON.
 * Called by the protobuf and JSON readers and by the readers of command-line specifications.
 * RFC 3629, section 4: no overlong forms, no surrogates, nothing above U+10FFFF. */
#include "wire/utf8.h"

/* How many bytes follow a leading byte, and the range that the first of them must be in. */
static bool lead(uint8_t b, unsigned *more, uint8_t *low, uint8_t *high)
{
    *low = 0x80;
    *high = 0xbf;
    if (b < 0x80) {
        *more = 0;
    } else if (b >= 0xc2 && b <= 0xdf) {
        *more = 1;
    } else if (b >= 0xe0 && b <= 0xef) {
        *more = 2;
        if (b == 0xe0)
            *low = 0xa0;
        if (b == 0xed)
            *high = 0x9f;
    } else if (b >= 0xf0 && b <= 0xf4) {
        *more = 3;
        if (b == 0xf0)
            *low = 0x90;
        if (b == 0xf4)
            *high = 0x8f;
    } else {
        return false;
    }
    return true;
}

bool pg_utf8_valid(struct pg_bytes text)
{
    size_t i = 0;
    while (i < text.len) {
        unsigned more;
        uint8_t low, high;
        if (!lead(text.at[i++], &more, &low, &high))
            return false;
        for (; more > 0; more--, i++) {
            if (i == text.len || text.at[i] < low || text.at[i] > high)
                return false;
            low = 0x80;
            high = 0xbf;
        }
    }
    return true;
}

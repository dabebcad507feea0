/* Channels between the two ends of a model: bounded, first in, first out or a bag, broken anywhere or never read.
 * Called by model.c; what is under way is part of a configuration. Serves design section 7, point 5. */
#include "model.h"
#include <string.h>

static void put(struct under_way *to, unsigned message, bool sorted)
{
    unsigned at = to->n++;
    for (; sorted && at && to->messages[at - 1] > message; at--)
        to->messages[at] = to->messages[at - 1];
    to->messages[at] = (uint8_t)message;
}

bool channel_send(const struct model *m, struct under_way *channels, unsigned factor, unsigned action)
{
    for (unsigned n = 0; n < m->n_sendings; n++) {
        const struct sending *s = &m->sendings[n];
        struct under_way *to = &channels[s->channel];
        if (s->factor != factor || s->action != action || to->broken)
            continue;
        if (to->n == m->channels[s->channel].room)
            return false;
        put(to, s->message, m->channels[s->channel].bag);
        for (unsigned c = 0; c < m->n_channels && s->last; c++) {
            if (c != s->channel)
                channels[c] = (struct under_way){0};
            channels[c].broken = 1;
        }
    }
    return true;
}

void channel_take(const struct model *m, struct under_way *channels, unsigned channel, unsigned message)
{
    struct under_way *from = &channels[channel];
    unsigned at = 0;
    while (m->channels[channel].bag && from->messages[at] != message)
        at++;
    memmove(from->messages + at, from->messages + at + 1, --from->n - at);
    from->messages[from->n] = 0;
}

bool channel_has(const struct under_way *c, unsigned message)
{
    return memchr(c->messages, (int)message, c->n) != NULL;
}

bool channel_may_break(const struct model *m, const struct under_way *channels)
{
    bool may = false;
    for (unsigned c = 0; c < m->n_channels; c++)
        may = may || (m->channels[c].broken_as >= 0 && !channels[c].broken);
    return may;
}

void channel_break(const struct model *m, struct under_way *channels)
{
    for (unsigned c = 0; c < m->n_channels; c++)
        if (m->channels[c].broken_as >= 0 && !channels[c].broken)
            channels[c] = (struct under_way){.n = 1, .broken = 1, .messages = {(uint8_t)m->channels[c].broken_as}};
}

bool channel_brings(const struct model *m, const struct under_way *channels, const struct cause *cause)
{
    const struct under_way *from = &channels[cause->factor];
    bool bag = m->channels[cause->factor].bag;
    if (!from->n || (bag && !channel_has(from, cause->number)))
        return false;
    const struct message *message = &m->messages[bag ? cause->number : from->messages[0]];
    for (unsigned n = 0; n < message->n; n++)
        if (message->events[n] == cause->event)
            return true;
    return false;
}

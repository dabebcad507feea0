/* Is this text UTF-8? Asked before text of strangers is logged, compared or put into JSON.
 * Called by the protobuf and JSON readers and by the readers of command-line specifications.
 * RFC 3629, section 4: no overlong forms, no surrogates, nothing above U+10FFFF. */
#pragma once
#include "mem/bytes.h"

bool pg_utf8_valid(struct pg_bytes text);

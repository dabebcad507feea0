/* A CUnit suite from a list of sentences; exit status 1 when one of them is not true.
 * Used by the tests of src/crypto. */
#pragma once
#include <CUnit/Basic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem/bytes.h"

struct sentence {
    const char *text;
    CU_TestFunc test;
};

static inline int run_suite(const char *name, const struct sentence *sentences, size_t n)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite suite = CU_add_suite(name, NULL, NULL);
    for (size_t i = 0; suite && i < n; i++)
        if (!CU_add_test(suite, sentences[i].text, sentences[i].test))
            suite = NULL;
    if (!suite)
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    int status = CU_get_number_of_tests_failed() ? 1 : 0;
    CU_cleanup_registry();
    return status;
}
#define RUN_SUITE(name, sentences) run_suite(name, sentences, sizeof(sentences) / sizeof *(sentences))

/* Hex to a fresh block of exactly that size, so that the sanitizers see every byte read too far. */
static inline uint8_t *unhex(const char *hex, size_t *len)
{
    *len = strlen(hex) / 2;
    uint8_t *out = malloc(*len ? *len : 1);
    for (size_t i = 0; out && i < *len; i++) {
        unsigned byte = 0;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
            abort();
        out[i] = (uint8_t)byte;
    }
    if (!out)
        abort();
    return out;
}

/* The same for a copy of bytes. */
static inline uint8_t *exact_copy(const void *from, size_t len)
{
    uint8_t *out = malloc(len ? len : 1);
    if (!out)
        abort();
    if (len)
        memcpy(out, from, len);
    return out;
}

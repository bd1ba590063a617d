/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The header alone, twice, as the first thing a C program includes. */
#include <speculo/speculo.h>

/* What a C program does with it. */
extern int use(const char *name);
int use(const char *name) {
    speculo_area_options options = {0};
    speculo_area *area;
    options.struct_size = sizeof options;
    return speculo_area_open(name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options, &area) == 0 &&
           speculo_area_close(area) == NULL && SPECULO_VERSION >= SPECULO_VERSION_NUMBER(0, 1, 0);
}

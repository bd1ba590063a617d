/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The header, the library and the build agree about the version. EXPECTED_VERSION comes from the build. */
#include <speculo/speculo.h>

#include <stdio.h>
#include <string.h>

int main(void) {
    char header[64];
    snprintf(header, sizeof header, "%d.%d.%d", SPECULO_VERSION_MAJOR, SPECULO_VERSION_MINOR, SPECULO_VERSION_PATCH);
    printf("build %s, header %s, library %s\n", EXPECTED_VERSION, header, speculo_version());
    return strcmp(header, EXPECTED_VERSION) != 0 || strcmp(speculo_version(), EXPECTED_VERSION) != 0;
}

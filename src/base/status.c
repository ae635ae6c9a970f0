/* status.c - errors and their texts. */
#include "base/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *basalt_version(void)
{
    return BASALT_VERSION;
}

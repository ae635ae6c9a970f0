/* stat_any.h - basalt stat of a file that Basalt did not make. (stat_any.c) */
#ifndef STAT_ANY_H
#define STAT_ANY_H

#include "command.h"

int stat_any(const char *path, uint64_t file_bytes, bool json);

#endif

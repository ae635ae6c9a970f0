/* replay.c - runs a fuzz target over the files it is given, and those in the folders: in builds without
 * libFuzzer, so that what was found once stays found. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv); /* not of every target */

static unsigned inputs;

static void replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(2);
    }
    const size_t count = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(count ? count : 1); /* its end is the end: a sanitizer looks there */
    if (!bytes || fread(bytes, 1, count, file) != count) exit(2);
    fclose(file);
    LLVMFuzzerTestOneInput(bytes, count);
    free(bytes);
    inputs++;
}

static void replay(const char *path)
{
    char below[4096];
    DIR *folder = opendir(path);

    if (!folder) {
        replay_file(path);
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
        replay(below);
    }
    closedir(folder);
}

int main(int argc, char **argv)
{
    if (LLVMFuzzerInitialize) LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++) replay(argv[i]);
    printf("%u inputs\n", inputs);
    return inputs ? 0 : 1;
}

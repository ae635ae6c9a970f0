/* options.c - defaults of the option structs. */
#include "store/store.h"

static void copy_known(void *filled, size_t filled_bytes, const void *given, size_t given_bytes)
{
    memcpy(filled, given, BS_MIN(filled_bytes, given_bytes));
}

void bs_store_options_fill(basalt_store_options *out_filled, const basalt_store_options *options)
{
    *out_filled = (basalt_store_options){
        .struct_bytes = sizeof *out_filled,
        .access = BASALT_READ_WRITE_CREATE,
        .memtable_bytes_max = (uint64_t)64 << 20,
        .log_segment_bytes = (uint64_t)64 << 20,
        .checkpoint_log_bytes = (uint64_t)256 << 20,
        .checkpoint_age_ms = 1000,
        .grace_ms = 5000,
        .protect = true,
        .application = "basalt",
    };
    if (options) copy_known(out_filled, sizeof *out_filled, options, options->struct_bytes);
    out_filled->struct_bytes = sizeof *out_filled;
}

void bs_family_options_fill(basalt_family_options *out_filled, const basalt_family_options *options)
{
    *out_filled = (basalt_family_options){
        .struct_bytes = sizeof *out_filled,
        .compression_level = 4,
        .row_index = true,
    };
    if (options) copy_known(out_filled, sizeof *out_filled, options, options->struct_bytes);
    out_filled->struct_bytes = sizeof *out_filled;
}

void bs_scan_options_fill(basalt_scan_options *out_filled, const basalt_scan_options *options)
{
    *out_filled = (basalt_scan_options){
        .struct_bytes = sizeof *out_filled,
        .row_count = UINT64_MAX,
        .batch_rows = 65536,
    };
    if (options) copy_known(out_filled, sizeof *out_filled, options, options->struct_bytes);
    out_filled->struct_bytes = sizeof *out_filled;
}

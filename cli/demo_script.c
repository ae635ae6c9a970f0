/* demo_script.c - what the demo has Python do: stock h5py, a fresh process each time. */
#include "demo.h"

const char demo_script_probe[] = "import h5py, numpy, matplotlib\n"
                                 "print(h5py.version.version, h5py.version.hdf5_version)\n";

/* argv: the file. One line: what a reader sees in it now. */
const char demo_script_look[] =
    "import sys, time, h5py\n"
    "began = time.perf_counter()\n"
    "with h5py.File(sys.argv[1], 'r') as file:\n"
    "    seen = []\n"
    "    for name in ('processor', 'memory', 'disk', 'network'):\n"
    "        if name in file:\n"
    "            times = file[name]['time']\n"
    "            seen.append(f'{name} {len(times):,}')\n"
    "            newest = int(times[-1]) if len(times) else 0\n"
    "    volts = file['waveform/volts'] if 'waveform/volts' in file else []\n"
    "    age = time.time() - newest / 1e9 if seen else 0\n"
    "    took = (time.perf_counter() - began) * 1e3\n"
    "    last = f'{volts[-1]:+.3f} V' if len(volts) else 'none'\n"
    "    print('rows: ' + ', '.join(seen) + f', waveform {len(volts):,} (last {last});'\n"
    "          f' newest {age:.1f} s old, {took:.0f} ms' if seen else 'no rows yet')\n";

/* argv: the file. A line an instrument: name, rows, rows that are not what they must be. */
const char demo_script_count[] =
    "import sys, h5py, numpy\n"
    "with h5py.File(sys.argv[1], 'r') as file:\n"
    "    for name in ('processor', 'memory', 'disk', 'network'):\n"
    "        found = file[name]['sequence'][:] if name in file else numpy.zeros(0, 'i8')\n"
    "        print(name, len(found), int((found != numpy.arange(len(found))).sum()))\n"
    "    volts = file['waveform/volts'][:]\n"
    "    t = numpy.arange(len(volts)) / 1e6\n"
    "    turn = 6.283185307179586\n"
    "    right = (4 + numpy.sin(turn * 0.5 * t)) * numpy.sin(turn * 50 * t)\n"
    "    print('waveform', len(volts), int((abs(volts - right) > 2 / 3276.8).sum()))\n";

/* argv: the file, the picture, the second of the kill since the first row (or -1). */
const char demo_script_plot[] =
    "import sys, h5py, numpy\n"
    "import matplotlib\n"
    "matplotlib.use('Agg')\n"
    "import matplotlib.pyplot as plot\n"
    "path, picture, killed = sys.argv[1], sys.argv[2], float(sys.argv[3])\n"
    "with h5py.File(path, 'r') as file:\n"
    "    group = file['processor']\n"
    "    time = group['time'][:] / 1e9\n"
    "    busy = sum(group[c][:].astype('f8') for c in\n"
    "               ('user', 'nice', 'system', 'interrupts', 'soft_interrupts'))\n"
    "    total = busy + group['idle'][:] + group['waiting'][:]\n"
    "    memory = file['memory']\n"
    "    memory_time, dirty = memory['time'][:] / 1e9, memory['dirty'][:] / 1e6\n"
    "    volts = file['waveform/volts'][:60000]\n"
    "start, step = time[0], 25\n"
    "def gaps(time, values):  # no line where nothing was recorded\n"
    "    at = numpy.nonzero(numpy.diff(time) > 0.5)[0] + 1\n"
    "    return numpy.insert(time - start, at, time[at] - start), numpy.insert(values, at, numpy.nan)\n"
    "ticks = total[step:] - total[:-step]\n"
    "share = numpy.full(len(ticks), numpy.nan)  # where no tick was counted, nothing is known\n"
    "numpy.divide(100 * (busy[step:] - busy[:-step]), ticks, share, where=ticks > 0)\n"
    "figure, axes = plot.subplots(3, 1, figsize=(10, 8), layout='constrained')\n"
    "axes[0].plot(*gaps(time[step:], share), lw=0.8, color='#1f4e79')\n"
    "axes[0].set(ylabel='processor busy, %', ylim=(0, 105))\n"
    "axes[1].plot(*gaps(memory_time, dirty), lw=0.8, color='#7a3b00')\n"
    "axes[1].set(ylabel='dirty memory, MB', xlabel='seconds', xlim=axes[0].get_xlim())\n"
    "for axis in axes[:2]:\n"
    "    if killed >= 0:\n"
    "        axis.axvline(killed, color='#c00000', ls='--', lw=1)\n"
    "        axis.text(killed, axis.get_ylim()[1], ' kill -9', color='#c00000', va='top')\n"
    "    axis.grid(alpha=0.3)\n"
    "axes[2].plot(numpy.arange(len(volts)) / 1e3, volts, lw=0.6, color='#2e6b34')\n"
    "axes[2].set(ylabel='synthetic waveform, V', xlabel='milliseconds')\n"
    "axes[2].grid(alpha=0.3)\n"
    "figure.suptitle('recorded by Basalt, read by h5py')\n"
    "figure.savefig(picture, dpi=120)\n";

# The picture of a run of call_bench: how latency is distributed, and the throughput of many clients.
#
#   gnuplot -e "data='DIRECTORY'; picture='FILE.svg'" picture.gp
#
# DIRECTORY is what call_bench --picture_data wrote: a caption, and blocks of curves, headed by their names, in a fixed
# order.
latencies = data.'/latencies'
rates = data.'/rates'
stats latencies using 1 name 'curves' nooutput
stats rates using 1 name 'lines' nooutput
set terminal svg size 1200,520 dynamic noenhanced font 'sans-serif,13' background '#ffffff'
set output picture
set multiplot layout 1,2 title system('cat "'.data.'/caption"') font ',11'
set border 3 lc '#606060'
set tics nomirror
set grid lc '#e4e4e4' lt 1
set key samplen 1.5
set bmargin 8.5

# Each transport has its colour, and its floor the same one, dashed.
array color[10] = ['#d62728', '#d62728', '#7f3fbf', '#7f3fbf', '#1f77b4', '#1f77b4', '#2ca02c', '#2ca02c', '#8c8c8c', '#000000']
array dash[10] = [3, 1, 3, 1, 3, 1, 3, 1, 3, 1]
set dashtype 3 (4, 3)

set title '64 B there and back, one blocking caller, a CPU each'
set xlabel 'percentile'
set ylabel 'microseconds'
set logscale xy
set xrange [1:10000]
set xtics ('0' 1, '50' 2, '90' 10, '99' 100, '99.9' 1000, '99.99' 10000)
set yrange [0.03:*]
set format y '%g'
set key at screen 0.03, 0.15 left top vertical maxrows 4
plot for [i = 0:curves_blocks - 1] latencies index i using 1:2 with lines lw 2 lc rgb color[i + 1] dt dash[i + 1] \
  title columnheader(1)

set title '64 B there and back, many blocking client processes'
set xlabel 'client processes'
set ylabel 'calls per second, all together'
set xrange [0.8:320]
set xtics ('1' 1, '8' 8, '64' 64, '256' 256)
set yrange [10000:*]
set format y '%.0s%c'
set key at screen 0.99, 0.15 right top horizontal maxrows 1
array rate_color[5] = ['#d62728', '#8c8c8c', '#1f77b4', '#2ca02c', '#000000']
array rate_dash[5] = [1, 3, 1, 1, 1]
plot for [i = 0:lines_blocks - 1] rates index i using 1:2 with linespoints pt 7 ps 0.6 lw 2 lc rgb rate_color[i + 1] \
  dt rate_dash[i + 1] title columnheader(1)
unset multiplot

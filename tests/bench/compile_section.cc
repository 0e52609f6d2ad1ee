// SPDX-License-Identifier: Apache-2.0
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/sections.h"
#include "bench/subject.h"

namespace nearcall::bench {

namespace {

// CPU time, so that other processes do not count.
double ChildrenSeconds() {
  rusage usage{};
  ::getrusage(RUSAGE_CHILDREN, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// What it takes the compiler to read `header`. Negative: it could not.
double TimeInclude(const std::string& header) {
  const std::string command = absl::StrCat(BENCH_COMPILER, " -std=c++20 -fsyntax-only @", BENCH_INCLUDE_OPTIONS,
                                           " -include ", header, " -x c++ /dev/null");
  const double before = ChildrenSeconds();
  if (std::system(command.c_str()) != 0) return -1;
  return ChildrenSeconds() - before;
}

double Lines(const std::string& stem) {
  double lines = 0;
  for (const char* extension : {".h", ".cc"}) {
    std::ifstream file(stem + extension);
    lines += static_cast<double>(std::count(std::istreambuf_iterator<char>(file), {}, '\n'));
  }
  return lines;
}

void Note(Journal& journal, const std::string& name, const char* unit, const Series& values) {
  journal.Add({.section = "compile", .name = name, .unit = unit, .values = values});
}

}  // namespace

void MeasureCompile(const Plan& plan, Journal& journal) {
  absl::PrintF("\nWhat generated code costs the compiler\n");
  Series messages;
  Series more;
  for (int64_t i = 0; i < plan.Choose(3, 10); ++i) {
    const double pb = TimeInclude("echo.pb.h");
    const double nearcall = TimeInclude("echo.nearcall.pb.h");
    if (pb < 0 || nearcall < 0) return;
    messages.Add(pb);
    more.Add(nearcall - pb);
  }
  Note(journal, "#include of .pb.h", "s", messages);
  Note(journal, "more for .nearcall.pb.h", "s", more);

  Series lines;
  lines.Add(Lines(BENCH_NEARCALL_STEM));
  Note(journal, "lines of .nearcall.pb.{h,cc}", "", lines);
  if (!HasGrpc()) return;
  Series grpc_lines;
  grpc_lines.Add(Lines(BENCH_GRPC_STEM));
  Note(journal, "lines of .grpc.pb.{h,cc}", "", grpc_lines);
}

}  // namespace nearcall::bench

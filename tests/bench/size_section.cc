// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "bench/alternate.h"
#include "bench/entrants.h"
#include "bench/sections.h"

namespace nearcall::bench {

namespace {

struct Size {
  const char* name;
  size_t bytes;
};
constexpr Size kSizes[] = {{"0 B", 0},
                           {"64 B", 64},
                           {"4 KiB", size_t{4} << 10},
                           {"64 KiB", size_t{64} << 10},
                           {"1 MiB", size_t{1} << 20},
                           {"16 MiB", size_t{16} << 20}};

// malloc(3) starts to give memory back with messages of this size.
constexpr size_t kHeapMatters = size_t{64} << 10;

Contenders MakeContenders() {
  Contenders contenders;
  const auto add_keeping_heap = [&](const char* name, SubjectParams params) {
    params.keep_heap = true;
    contenders.emplace_back(name, params);
  };
  contenders.emplace_back("P", Plain("protobuf", Unpinned()));
  // Of what the other core has written.
  contenders.emplace_back("M, one way", Plain("memcpy", Placements().front()));
  AddTransports(contenders, Unpinned());
  contenders.emplace_back("raw mq", Plain("mq frames", Unpinned()));
  contenders.emplace_back("raw pipe", Plain("pipe frames", Unpinned()));
  AddGrpc(contenders, Unpinned());
  add_keeping_heap("P, heap kept", Plain("protobuf", Unpinned()));
  add_keeping_heap("shm, heap kept", NearcallOver("shm", kSpinUs, Unpinned()));
  if (HasGrpc()) add_keeping_heap("gRPC, heap kept", Plain("grpc", Unpinned()));
  return contenders;
}

bool SaysNothing(const Contender& contender, size_t size) {
  const std::string& subject = contender.params().subject;
  const bool is_raw = subject == "memcpy" || subject == "mq frames" || subject == "pipe frames";
  return (is_raw && size == 0) || (contender.params().keep_heap && size < kHeapMatters);
}

}  // namespace

void MeasureSizes(const Plan& plan, Journal& journal) {
  Contenders contenders = MakeContenders();
  for (const Size& size : kSizes) {
    journal.Add(
        absl::StrCat(size.name, " echo, unpinned, back to back",
                     size.bytes < kHeapMatters ? "" : " (heap kept: malloc gives nothing back between calls)"),
        Alternate(contenders, {"sizes", size.name}, {.duration_ns = plan.batch_ns, .size = size.bytes},
                  plan.repetitions, [&](const Contender& contender) { return SaysNothing(contender, size.bytes); }));
  }
}

}  // namespace nearcall::bench

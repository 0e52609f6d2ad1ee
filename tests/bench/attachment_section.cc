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
// Where attachments begin to pay, and two that people have: a frame, a tensor.
constexpr Size kSizes[] = {{"64 KiB", size_t{64} << 10}, {"256 KiB", size_t{256} << 10}, {"1 MiB", size_t{1} << 20},
                           {"4 MiB", size_t{4} << 20},   {"8 MiB", size_t{8} << 20},     {"64 MiB", size_t{64} << 20}};

SubjectParams OverShm(const char* subject) {
  SubjectParams params = NearcallOver("shm", kSpinUs, Unpinned());
  params.subject = subject;
  params.keep_heap = true;
  return params;
}

}  // namespace

// One way, and the receiver looks at each cache line: that, and filling, is what no transport saves.
void MeasureAttachments(const Plan& plan, Journal& journal) {
  Contenders contenders;
  contenders.emplace_back("floor: look", Plain("look", Unpinned()));
  contenders.emplace_back("floor: fill, look", Plain("fill and look", Unpinned()));
  contenders.emplace_back("copied", OverShm("put"));
  contenders.emplace_back("made, passed", OverShm("put fresh"));
  contenders.emplace_back("of a pool", OverShm("put pool"));
  contenders.emplace_back("passed again", OverShm("put again"));
  contenders.emplace_back("of a pool, again", OverShm("put pool again"));
  contenders.emplace_back("not looked at", OverShm("lend"));
  if (HasGrpc()) {
    SubjectParams grpc = Plain("grpc put", Unpinned());
    grpc.keep_heap = true;
    contenders.emplace_back("gRPC", grpc);
  }
  for (const Size& size : kSizes) {
    std::vector<Measurement> measurements =
        Alternate(contenders, {"attachments", size.name}, {.duration_ns = plan.batch_ns, .size = size.bytes},
                  plan.repetitions, [](const Contender&) { return false; });
    for (Measurement& measurement : measurements) measurement.ways = 1;
    journal.Add(
        absl::StrCat(
            size.name,
            " to the server, over shm, unpinned: one process that looks at as much, and one that "
            "fills and looks; as a field; in a new buffer, filled; in one of a pool, filled; in "
            "one that was sent before, and one of a pool that was; the first of these where nobody looks at it"),
        std::move(measurements));
  }
}

}  // namespace nearcall::bench

// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/str_cat.h"
#include "bench/alternate.h"
#include "bench/entrants.h"
#include "bench/sections.h"

namespace nearcall::bench {

namespace {

constexpr size_t kFrameBytes = size_t{3840} * 2160 * 4;

SubjectParams OverShm(const std::string& subject) {
  SubjectParams params = NearcallOver("shm", kSpinUs, Unpinned());
  params.subject = subject;
  params.keep_heap = true;
  return params;
}

void Measure(const char* what, const Batch& batch, const std::string& title, const Plan& plan, Journal& journal) {
  Contenders contenders;
  contenders.emplace_back("fields", OverShm(absl::StrCat(what, " message")));
  contenders.emplace_back("new buffers", OverShm(what));
  contenders.emplace_back("of a pool", OverShm(absl::StrCat(what, " pool")));
  if (HasGrpc()) {
    SubjectParams grpc = Plain(absl::StrCat("grpc ", what), Unpinned());
    grpc.keep_heap = true;
    contenders.emplace_back("gRPC", grpc);
  }
  std::vector<Measurement> measurements = Alternate(contenders, {"frames", what}, batch, plan.repetitions);
  for (Measurement& measurement : measurements) measurement.ways = 1;
  journal.Add(title, std::move(measurements));
}

}  // namespace

// What two of the examples do.
void MeasureFrames(const Plan& plan, Journal& journal) {
  Measure("decode", {.duration_ns = plan.batch_ns, .size = kFrameBytes},
          "a frame of 3840 x 2160 x 4 bytes from a decoder, over shm, decoded and looked at: the film as a field, the "
          "frame too; else the film as a descriptor, the frame in a new buffer, in one of a pool",
          plan, journal);
  Measure("watch", {.duration_ns = plan.batch_ns},
          absl::StrCat("a picture of 1920 x 1080 bytes from a camera to ", kViewers,
                       " that look at all of it, over shm (gRPC's camera sends the same one again and again)"),
          plan, journal);
}

}  // namespace nearcall::bench

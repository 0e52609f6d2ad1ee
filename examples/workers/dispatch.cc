// SPDX-License-Identifier: Apache-2.0

// dispatch COUNT [WORKERS]: gives out so many jobs at once, each to the worker that has the fewest, and prints the sum
// of the results and the workers that had a part in it. It waits for a worker if there is none yet, and goes on until
// so many have had a part.
#include <cstdlib>
#include <future>
#include <iostream>
#include <set>
#include <vector>

#include "workers.nearcall.pb.h"

namespace {

struct Done {
  long sum = 0;
  std::set<int> pids;
};

absl::Status GiveOut(const workers::Workers::AsyncStub& stub, int count, Done& done) {
  std::vector<std::future<absl::StatusOr<workers::Result>>> results;
  for (int i = 1; i <= count; ++i) {
    workers::Job job;
    job.set_number(i);
    std::promise<absl::StatusOr<workers::Result>> promise;
    results.push_back(promise.get_future());
    stub.Work(job,
              [promise = std::move(promise)](absl::StatusOr<workers::Result> result) mutable {
                promise.set_value(std::move(result));
              },
              {.timeout = absl::Seconds(20), .wait_for_ready = true});
  }
  absl::Status status;
  done.sum = 0;
  for (auto& result : results) {
    const absl::StatusOr<workers::Result> got = result.get();
    status.Update(got.status());
    if (!got.ok()) continue;
    done.sum += got->square();
    done.pids.insert(got->worker_pid());
  }
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 100;
  const size_t workers = argc > 2 ? static_cast<size_t>(std::atoi(argv[2])) : 1;
  const auto channel = nearcall::Channel::Connect("workers", {.lazy = true});
  Done done;
  absl::Status status = channel.status();
  for (int rounds = 0; status.ok() && done.pids.size() < workers && rounds < 1000; ++rounds) {
    status = GiveOut(workers::Workers::AsyncStub(*channel), count, done);
  }
  if (!status.ok()) {
    std::cerr << status << "\n";
    return 1;
  }
  std::cout << done.sum << " by " << done.pids.size() << "\n";
}

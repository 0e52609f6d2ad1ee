// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace nearcall::bench {

inline constexpr int kAnyCpu = -1;

// On which CPUs the two processes of a measurement run.
struct Placement {
  std::string name;
  int client_cpu = kAnyCpu;
  int server_cpu = kAnyCpu;
};

// "apart", "together", "unpinned"; only what the CPUs that we may use allow. Apart is on different cores, if there are.
std::vector<Placement> Placements();

// Whether they are hardware threads of one core, as far as the kernel knows (a virtual machine's may not). Such two are
// nearer to each other than any two cores, and slow each other down.
bool ShareACore(int cpu, int other);

// This process, its later threads and children run on `cpu`.
void Pin(int cpu);

}  // namespace nearcall::bench

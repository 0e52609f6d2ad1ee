// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bench/contender.h"
#include "bench/statistics.h"

namespace nearcall::bench {

// Whether the machine was fit for measuring: nobody else used it, and its cores were near each other.
class Conditions {
 public:
  // Takes a look at the machine, and says what it sees.
  Conditions();

  // How far one core is from the other now.
  void Probe();

  // The last look, when all processes that have measured are gone.
  void End();

  // F_line in microseconds at each probe; empty on one CPU.
  const Series& line_us() const { return line_us_; }
  // Of the machine, by others: other processes, and what a hypervisor took away.
  double others_share() const { return others_share_; }
  bool near() const;

  // Why what was measured is no result. Empty: it is one.
  std::vector<std::string> Objections() const;

 private:
  struct Used {
    double wall_s = 0;
    double machine_s = 0;  // by all processes
    double stolen_s = 0;
    double own_s = 0;
  };
  static Used Now();
  static double ShareOfOthers(const Used& from, const Used& to);
  void Print(const std::string& when, double share) const;

  const Used begin_;
  double others_before_ = 0;
  double others_share_ = 0;
  Series line_us_;
};

}  // namespace nearcall::bench

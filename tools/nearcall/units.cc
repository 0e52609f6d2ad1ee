// SPDX-License-Identifier: Apache-2.0
#include "units.h"

#include <span>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace nearcall::tools {

namespace {

struct Unit {
  double size;
  const char* name;
};

// Behind the point, of what is shown to people.
int DigitsOf(double number) {
  return number < 10 && number != 0 ? 1 : 0;
}

// In the largest of `units` of which there is one.
std::string InUnits(double value, std::span<const Unit> units) {
  const Unit* unit = &units.front();
  for (const Unit& larger : units) {
    if (value >= larger.size) unit = &larger;
  }
  const double scaled = value / unit->size;
  return absl::StrFormat("%.*f%s", DigitsOf(scaled), scaled, unit->name);
}

// Without an exponent.
std::string Plain(double value) {
  std::string text = absl::StrFormat("%.3f", value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

constexpr Unit kTimes[] = {{1, "ns"}, {1e3, "us"}, {1e6, "ms"}, {1e9, "s"}};
constexpr Unit kBytes[] = {{1, "B"}, {1024, "K"}, {1024 * 1024, "M"}, {1024.0 * 1024 * 1024, "G"}};

}  // namespace

std::string NsText(double ns, const Look& look) {
  return look.terminal ? InUnits(ns, kTimes) : Plain(ns);
}

std::string BytesText(double bytes, const Look& look) {
  return look.terminal ? InUnits(bytes, kBytes) : Plain(bytes);
}

std::string NumberText(double number, const Look& look) {
  if (!look.terminal) return Plain(number);
  if (number >= 1e8) return absl::StrFormat("%.0fM", number / 1e6);
  if (number >= 1e5) return absl::StrFormat("%.0fk", number / 1e3);
  return absl::StrFormat("%.*f", DigitsOf(number), number);
}

}  // namespace nearcall::tools

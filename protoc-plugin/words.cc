// SPDX-License-Identifier: Apache-2.0
#include "words.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "protobuf_version.h"

namespace nearcall::plugin {

namespace {

// All of these are sorted.
// clang-format off
constexpr absl::string_view kKeywords[] = {
    "alignas", "alignof", "and", "and_eq", "asm", "auto", "bitand", "bitor", "bool", "break", "case", "catch", "char",
    "char16_t", "char32_t", "char8_t", "class", "co_await", "co_return", "co_yield", "compl", "concept", "const",
    "const_cast", "consteval", "constexpr", "constinit", "continue", "decltype", "default", "delete", "do", "double",
    "dynamic_cast", "else", "enum", "explicit", "export", "extern", "false", "float", "for", "friend", "goto", "if",
    "inline", "int", "long", "mutable", "namespace", "new", "noexcept", "not", "not_eq", "nullptr", "operator", "or",
    "or_eq", "private", "protected", "public", "register", "reinterpret_cast", "requires", "return", "short",
    "signed", "sizeof", "static", "static_assert", "static_cast", "struct", "switch", "template", "this",
    "thread_local", "throw", "true", "try", "typedef", "typeid", "typename", "union", "unsigned", "using", "virtual",
    "void", "volatile", "wchar_t", "while", "xor", "xor_eq"};

constexpr absl::string_view kUnknownToProtobuf[] = {
    "char16_t", "char32_t", "char8_t", "co_await", "co_return", "co_yield", "concept", "consteval", "constinit",
    "requires"};

// What compilers define, or reserve, when they are not asked for plain C++20.
constexpr absl::string_view kDialect[] = {"i386", "linux", "typeof", "unix"};

// A macro with parameters ends in a parenthesis.
constexpr absl::string_view kLibraryMacros[] = {
#include "library_macros.inc"
};

constexpr absl::string_view kLibraryTypes[] = {
#include "library_types.inc"
};

constexpr absl::string_view kLibraryNamespaces[] = {"absl", "google", "nearcall", "std"};

// Of macros of which each version of a library, or of the kernel, brings others.
constexpr absl::string_view kMacroPrefixes[] = {"ABSL_", "GOOGLE_", "PROTOBUF_", "SYS_"};
// clang-format on

static_assert(std::is_sorted(std::begin(kKeywords), std::end(kKeywords)));
static_assert(std::is_sorted(std::begin(kUnknownToProtobuf), std::end(kUnknownToProtobuf)));
static_assert(std::is_sorted(std::begin(kDialect), std::end(kDialect)));
static_assert(std::is_sorted(std::begin(kLibraryMacros), std::end(kLibraryMacros)));
static_assert(std::is_sorted(std::begin(kLibraryTypes), std::end(kLibraryTypes)));
static_assert(std::is_sorted(std::begin(kLibraryNamespaces), std::end(kLibraryNamespaces)));

template <size_t kSize>
bool Contains(const absl::string_view (&sorted)[kSize], absl::string_view word) {
  return std::binary_search(std::begin(sorted), std::end(sorted), word);
}

// The implementation's own: __x, _X, __x__. None of its words ends in one `_`, or in three.
bool IsReserved(absl::string_view word) {
  if (word.size() < 2 || word[0] != '_') return false;
  if (word[1] != '_' && !absl::ascii_isupper(static_cast<unsigned char>(word[1]))) return false;
  const size_t last = word.find_last_not_of('_');
  const size_t behind = last == absl::string_view::npos ? word.size() : word.size() - 1 - last;
  return behind == 0 || behind == 2;
}

// SUBTLE: a `_` at the end makes a word free, or nothing would; but X_H_ keeps a header from being included twice.
bool HasMacroPrefix(absl::string_view word) {
  if (absl::EndsWith(word, "_") && !absl::EndsWith(word, "_H_")) return false;
  return std::any_of(std::begin(kMacroPrefixes), std::end(kMacroPrefixes),
                     [&](absl::string_view prefix) { return absl::StartsWith(word, prefix); });
}

}  // namespace

bool IsKeyword(absl::string_view word) {
  return Contains(kKeywords, word);
}

bool IsKeywordUnknownToProtobuf(absl::string_view word) {
#if NEARCALL_PROTOBUF_22
  static_cast<void>(word);
  return false;
#else
  return Contains(kUnknownToProtobuf, word);
#endif
}

bool IsMacro(absl::string_view word) {
  return IsObjectMacro(word) || Contains(kLibraryMacros, absl::StrCat(word, "(")) || Contains(kDialect, word) ||
         IsReserved(word) || HasMacroPrefix(word);
}

bool IsObjectMacro(absl::string_view word) {
  return Contains(kLibraryMacros, word);
}

bool IsLibraryType(absl::string_view full_name) {
  return Contains(kLibraryTypes, full_name);
}

bool IsLibraryNamespace(absl::string_view word) {
  return Contains(kLibraryNamespaces, word);
}

}  // namespace nearcall::plugin

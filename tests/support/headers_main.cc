// SPDX-License-Identifier: Apache-2.0

// Does nothing: the headers that are precompiled for the tests need a program to belong to.
int main() {}

#!/usr/bin/env bash
# Builds echarts.min.js.gz out of packages of npm: bash build.sh, in this folder. Needs
# node, npm and gzip. Commit what it makes, and the digest that it prints into
# assets_test.go.
set -euo pipefail
here=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp entry.js "$work"
cd "$work"
echo '{"private": true}' >package.json
npm install --save-exact echarts@5.6.0 esbuild@0.25.12 >/dev/null
npx esbuild entry.js --bundle --minify --format=iife --target=es2020 --charset=ascii --legal-comments=inline --outfile=bundle.js
m=node_modules
{
	echo '/*!'
	echo 'Apache ECharts 5.6.0, a build with the charts of ropewalk reports. It contains zrender 5.6.1, tslib 2.3.0 and parts of d3.'
	echo
	cat $m/echarts/NOTICE
	echo
	echo 'Licensed under the Apache License, Version 2.0: https://www.apache.org/licenses/LICENSE-2.0'
	for part in zrender/LICENSE echarts/licenses/LICENSE-d3 tslib/LICENSE.txt; do
		printf '\n---- %s\n\n' "$part"
		tr -d "\r" <$m/$part # a page with carriage returns has another digest than its script
	done
	printf "\n*/\n"
	cat bundle.js
} >echarts.min.js
gzip -9 -n -c echarts.min.js >"$here/echarts.min.js.gz"
sha256sum echarts.min.js

# frozen_string_literal: true

require_relative 'rendering'
require 'open3'

# What documents and programs tell people to run is there, by the name that they tell.
RSpec.describe 'What people are told to run', type: :rendering do
  def read(path) = File.read(File.join(RELEASE_DIR, path))

  documents = %w[README.md docs/runbook.md docs/interface.md docs/release.md docs/coming-from-cf-mysql-and-pxc.md docs/alerts.yml]
  texts = documents + Dir.children(File.join(RELEASE_DIR, 'jobs')).map { |job| "jobs/#{job}/spec" }
  sources = Dir.glob('src/**/*.rs', base: RELEASE_DIR)

  # path => what the pattern finds there
  define_method(:named) { |pattern, paths = (texts + sources)| paths.to_h { |path| [path, read(path).scan(pattern).uniq] }.reject { |_, found| found.empty? } }

  def spec_of(job)
    path = "jobs/#{job}/spec"
    File.exist?(File.join(RELEASE_DIR, path)) ? YAML.safe_load(read(path)) : {}
  end

  def scripts(job) = (spec_of(job)['templates'] || {}).values

  let(:galera_ctl) { %w[release debug].map { |p| File.join(RELEASE_DIR, 'target', p, 'galera-ctl') }.find { |f| File.executable?(f) } }

  def help(*command) = Open3.capture2e(galera_ctl, *command, '--help').first

  it 'is a script or file that the job has' do
    found = named(%r{/var/vcap/jobs/([a-z-]+)/((?:bin|config)/[A-Za-z0-9_./-]*[a-z])})
    expect(found).to include('docs/runbook.md', 'src/cluster/start.rs')
    missing = found.transform_values { |all| all.reject { |job, file| job == 'any' || scripts(job).any? { |s| s == file || s.start_with?("#{file}/") } } }
    expect(missing.reject { |_, all| all.empty? }).to eq({})
  end

  it 'is an errand that there is' do
    errands = named(/bosh (?:-d \S+ )?run-errand ([a-z-]+)/)
    expect(errands.values.flatten.uniq).to include('bootstrap', 'diagnose', 'smoke-tests')
    expect(errands.values.flatten.uniq.reject { |job| scripts(job).include?('bin/run') }).to eq([])
  end

  it 'is a command of galera-ctl, with options that it has', :executables do
    commands = named(/galera-ctl((?: --config FILE)?(?: [a-z]+)+)((?: --[a-z-]+(?:=\S+| "[^"]*"| [A-Za-z0-9]\S*)?)*)/, documents + sources)
    known = help[/Commands:(.*?)Options:/m].scan(/^  ([a-z]+)  /).flatten
    expect(known).to include('status', 'rejoin', 'maintenance')
    wrong = commands.flat_map do |path, all|
      all.filter_map do |words, options|
        first, second = words.sub(' --config FILE', '').split
        # "galera-ctl is on no path": prose, and no command.
        next if path.end_with?('.rs') && !known.include?(first) && options.empty?
        next "#{path}: galera-ctl #{first}" unless known.include?(first)
        told = first == 'maintenance' && %w[on off start status].include?(second) ? help(first, second) : help(first)
        missing = options.scan(/--[a-z-]+/).reject { |option| told.include?(option) }
        "#{path}: galera-ctl #{first} #{missing.join(' ')}" unless missing.empty?
      end
    end
    expect(wrong).to eq([])
  end

  it 'fits a terminal of 80 columns, as far as it is help', :executables do
    programs = Dir.children(File.join(RELEASE_DIR, 'src/bin')).map { |f| File.join(File.dirname(galera_ctl), File.basename(f, '.rs')) }
    commands = help[/Commands:(.*?)Options:/m].scan(/^  ([a-z]+)  /).flatten - ['help']
    helps = programs.map { |p| [p] } + commands.map { |c| [galera_ctl, c] } + %w[on off start].map { |c| [galera_ctl, 'maintenance', c] }
    wide = helps.to_h { |command| [command.join(' '), Open3.capture2e(*command, '--help').first.lines.map(&:chomp).select { |l| l.size > 80 }] }
    expect(wide.reject { |_, lines| lines.empty? }).to eq({})
  end

  it 'is told to whoever reads on, and quietly to whoever went away', :executables do
    seed = File.join(RELEASE_DIR, 'src/cluster/diagnosis/fixtures/seed_000_error_log.txt')
    { "#{galera_ctl} timeline #{seed}" => 0, "#{galera_ctl} --help" => 0, "#{galera_ctl} maintenance --help" => 0 }.each do |command, code|
      out, status = Open3.capture2e('bash', '-c', "(sleep 0.3; #{command}; echo $? >&2) | true")
      expect([out.strip, status.exitstatus]).to eq([code.to_s, 0]), command
    end
  end

  it 'is a file or program of this repository' do
    found = named(%r{(?:^|[\s`(])((?:ci|templates/ops|templates|docs)/[a-z0-9-]+(?:\.[a-z]+)*)\b}, documents).values.flatten.uniq
    expect(found).to include('ci/test', 'docs/runbook.md', 'templates/ops/tls.yml')
    expect(found.reject { |path| File.exist?(File.join(RELEASE_DIR, path)) }).to eq([])
  end

  it 'is a body that the agent takes, as its description has it' do
    paths = YAML.safe_load(read('docs/openapi.yaml'), aliases: true)['paths']
    told = read('docs/interface.md').scan(%r{^\| `POST (/v1/[a-z]+)` \| yes \| `\{(.*?)\}`[:;]}).to_h
    expect(told.keys).to include('/v1/start', '/v1/hold', '/v1/maintenance')
    names = ->(schema) { schema.fetch('properties').keys }
    taken = told.keys.to_h { |path| [path, paths.dig(path, 'post', 'requestBody', 'content', 'application/json', 'schema')] }
    wrong = told.reject do |path, body|
      outer = body.gsub(/\{.*?\}/, '').gsub(/: [^,]*/, '').split(/,\s*/).map { |n| n.strip.split.first }
      outer.sort == names.call(taken[path]).sort
    end
    expect(wrong).to eq({})
  end

  it 'is a property that the job has' do
    jobs = { 'm' => 'mariadb', 'a' => 'galera-agent', 'p' => 'proxy', 's' => 'smoke-tests' }
    moved = read('docs/coming-from-cf-mysql-and-pxc.md').scan(/`([maps]) ([a-z_.]+)/).map { |job, name| [jobs.fetch(job), name.chomp('.')] }
    asked_for = read('README.md')[/^## Configure.*?^## /m].scan(/^\| ([a-z-]+) \| (`[^|]*)\|/).reject { |job, _| job == 'job' }
    asked_for = asked_for.flat_map { |job, cell| cell.sub(/:.*/, '').scan(/`([a-z_.]+)[*`]/).flatten.map { |name| [job, name.chomp('.')] } }
    expect(asked_for).to include(%w[mariadb gcache_size], %w[proxy stats])
    missing = (moved + asked_for).reject { |job, name| spec_of(job)['properties'].keys.any? { |p| p == name || p.start_with?("#{name}.") } }
    expect(missing).to eq([])
  end
end

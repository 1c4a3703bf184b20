# frozen_string_literal: true

require_relative 'job_templates'
require_relative 'manifest'
require_relative 'agent'

module LabParts
  # What BOSH's director does: renders, and drives the agents in its documented order.
  class Director
    KEEP = { 'BOSH_VM_NEXT_STATE' => 'keep', 'BOSH_INSTANCE_NEXT_STATE' => 'keep', 'BOSH_DEPLOYMENT_NEXT_STATE' => 'keep' }.freeze

    def initialize(lab, state)
      @lab, @state = lab, state
      file = state['manifest'] || File.join(Lab::RELEASE, 'templates', 'deployment.yml')
      @manifest = Manifest.new(file, ops: state['ops'], variables_file: File.join(lab.dir, 'variables.yml'))
    end

    # The instances of the manifest; those that are there already keep their id.
    def instances = @instances ||= expected_instances

    # New VMs are all made first; then one instance after the other, the bootstrap instance first.
    def deploy(start:, force:)
      vms = @lab.vms
      fresh = vms.reject(&:up?)
      fresh.map { |v| Thread.new { v.boot } }.each(&:join)
      vms.each do |vm|
        rendered = render(vm.instance)
        agent = Agent.new(vm)
        next if !force && agent.applied?(rendered) && agent.running?
        take_down(vm) unless fresh.include?(vm)
        agent.apply(rendered)
        bring_up(vm, rendered: nil) if start
      end
      post_deploy(vms) if start
    end

    def start(vms, parallel: false, **)
      in_order(vms, parallel) { |vm| bring_up(vm, rendered: nil) }
      post_deploy(vms)
    end

    def stop(vms, parallel: false, skip_drain: false)
      in_order(vms, parallel) { |vm| take_down(vm, skip_drain: skip_drain) }
    end

    # apply, pre-start, start, wait until running, post-start
    def bring_up(vm, rendered: render(vm.instance))
      agent = Agent.new(vm)
      agent.apply(rendered) if rendered
      agent.run_script('pre-start')
      agent.start
      agent.wait_running
      agent.run_script('post-start')
    end

    # pre-stop (still monitored), drain, stop, post-stop
    def take_down(vm, skip_drain: false)
      agent = Agent.new(vm)
      unless skip_drain
        agent.run_script('pre-stop', env: KEEP)
        agent.drain
      end
      agent.unmonitor
      agent.stop
      agent.run_script('post-stop')
    end

    def render(instance)
      group = @manifest.groups.find { |g| g['name'] == instance['group'] }
      group.fetch('jobs').to_h do |job|
        renderer = JobTemplates::Job.new(Lab::RELEASE, job.fetch('name'))
        files = renderer.destinations.to_h do |file|
          [file, renderer.render(file, properties: properties(job), links: links(renderer, group), spec: spec(instance))]
        end
        [job['name'], files]
      end
    rescue StandardError => e
      raise Failed, "rendering for #{instance['name']}: #{e.message}"
    end

    private

    def expected_instances
      number = -1
      @manifest.groups.flat_map do |group|
        Array.new(@state['nodes'] || group.fetch('instances')) do |index|
          number += 1
          known(group, index) || made(group, index, number)
        end
      end
    end

    def known(group, index) = @state['instances'].find { |i| i['name'] == "#{group['name']}/#{index}" }

    def made(group, index, number)
      azs = group['azs'] || ['z1']
      { 'name' => "#{group['name']}/#{index}", 'group' => group['name'], 'index' => index, 'id' => SecureRandom.uuid, 'number' => number,
        'az' => azs[index % azs.size], 'address' => "#{Network::PREFIX}#{Network::FIRST + number}", 'bootstrap' => index.zero?,
        'deployment' => @manifest.deployment }
    end

    def in_order(vms, parallel, &block)
      return vms.map { |v| Thread.new { block.call(v) } }.each(&:join) if parallel
      vms.each(&block)
    end

    def post_deploy(vms) = vms.map { |v| Thread.new { Agent.new(v).run_script('post-deploy') } }.each(&:join)

    # `--property job.name=value` wins over the manifest; a test's way to an ops file of one line.
    def properties(job)
      own = Marshal.load(Marshal.dump(job['properties'] || {}))
      @state['properties'].each do |path, value|
        name, *parents, leaf = path.split('.')
        parents.reduce(own) { |node, key| node[key] ||= {} }[leaf] = value if name == job['name']
      end
      own
    end

    def spec(instance)
      instance.slice('deployment', 'index', 'bootstrap', 'id', 'az', 'address')
              .merge('name' => instance['group'], 'job' => { 'name' => instance['group'] }, 'ip' => instance['address'], 'networks' => {})
    end

    # What a job consumes, from the jobs that provide it: the declared properties only.
    def links(renderer, _group)
      renderer.consumes.to_h { |name| [name, link(name)] }.compact
    end

    def link(name)
      @manifest.groups.each do |group|
        group['jobs'].each do |job|
          provider = JobTemplates::Job.new(Lab::RELEASE, job['name'])
          declared = provider.provides[name] or next
          members = instances.select { |i| i['group'] == group['name'] }
          shared = provider.shared(declared, properties(job))
          return { 'instances' => members.map { |i| i.slice('index', 'id', 'az', 'address', 'bootstrap').merge('name' => i['group'], 'properties' => shared) }, 'properties' => shared }
        end
      end
      nil
    end
  end
end
